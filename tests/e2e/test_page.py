"""The page that `html` writes, in a browser: its sums are those of `report`, and mouse, keyboard, search, range and a narrow
window do what they should. The recordings have known content (make_snapshot). node and Chromium are needed."""

import collections
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess

import pytest

import recording
from test_views import ANALYZE, BIN, NODE, node, report, run, sums  # noqa: F401 (node: a fixture)

pytestmark = pytest.mark.untimed

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202eoh"


def lines(seed, hz=100, extra=()):
    """Two threads, 30 functions; half of the samples have a time, those of thread 0 fall into requests; a heap and leaks."""
    rng = random.Random(seed)
    functions = [f"{0x401000 + 0x100 * i:x}" for i in range(30)]
    stacks = [";".join([functions[0]] + [rng.choice(functions) for _ in range(rng.randint(1, 9))]) for _ in range(40)]
    out, rows, timed, now = ["comm demo", f"hz {hz}"], collections.Counter(), [], 20_000_000_000
    for _ in range(900):
        rows[rng.randint(0, 1), rng.choice(stacks)] += 1
    for _ in range(600):
        now += rng.randint(1_000_000, 90_000_001)
        key = rng.randint(0, 1), rng.choice(stacks)
        rows[key] += 1
        timed.append((*key, now))
    out += [f"cpu {t} {s} {n}" for (t, s), n in rows.items()]
    out += [f"time {t} {s} {at} 1" for t, s, at in timed]
    out += [f"heap {s} {rng.randint(5, 90)} {rng.randint(50_000, 90_000)} {rng.randint(0, 4)} {rng.randint(0, 40_000)}" for s in sorted(set(stacks))]
    out += ["route 200 90 20000000 GET /users/*", "route 500 3 900000000 POST /cart"]
    for i in range(20):
        start, path = 20_000_000_000 + i * 1_000_000_000, "GET /users/17" if i % 4 else "POST /cart"
        out.append(f"request {i + 1} 0 {start} {300_000_000 + i * 40_000_000} {200 if i % 4 else 500} {path}")
        out.append(f"span 0 {start} {start + 300_000_000} {i + 1}")
    out += ["check 2 ptrace", f"leak {stacks[0]} direct 0 7 700 7 700 30 40 0", f"leak {stacks[1]} direct 0 3 900 3 900 2 3 0", "lost cpu.dropped 3"]
    return "\n".join([*out, *extra]) + "\n"


def make(path, text):
    run([BIN / "make_snapshot", path], input=text.encode())
    return path


@pytest.fixture(scope="module")
def snaps(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    return [make(home / "before.snap", lines(1)), make(home / "after.snap", lines(2, hz=200))]


def page_data(html):
    return json.loads(re.search(rb'<script id="data" type="application/json">(.*?)</script>', html, re.S).group(1))


def totals(snapshot, *options):
    """What `report` says of a part: total and {function: [self, inclusive]}; nothing in it is a total of 0."""
    done = subprocess.run([str(x) for x in (ANALYZE, "report", "--json", *options, snapshot)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    total, by = sums(json.loads(done.stdout))
    return {"total": total, "functions": dict(by)}


def test_the_page_in_a_browser(snaps, tmp_path, node):  # noqa: F811
    """page_ui.mjs drives it; what it should show of each part is report's."""
    one, both, hostile = tmp_path / "one.html", tmp_path / "both.html", tmp_path / "hostile.html"
    one.write_bytes(run([ANALYZE, "html", snaps[1]]))
    both.write_bytes(run([ANALYZE, "html", "--diff", *snaps]))
    bad = make(tmp_path / f"bad <img src=x onerror=alert(2)>.snap", lines(3, extra=[f"comm {HOSTILE}", f"route 200 1 5000 GET /{HOSTILE[:40]}", f"request 99 1 50000000000 2000000000 200 GET /{HOSTILE}"]))
    hostile.write_bytes(run([ANALYZE, "html", bad]))
    empty = tmp_path / "empty.html"
    empty.write_bytes(run([ANALYZE, "html", make(tmp_path / "empty.snap", "comm nothing\nhz 100\nroute 200 1 5000 GET /\n")]))
    parts = {
        "all": ({}, []), "range": ({"from": 25_000_000, "to": 31_500_000}, ["--from", "25s", "--to", "31500ms"]),
        "thread": ({"tid": 4712}, ["--thread", "4712"]), "route": ({"route": "POST /cart"}, ["--route", "POST /cart"]),
        "mixed": ({"from": 20_000_000, "to": 30_000_000, "tid": 4711, "route": "GET /users/*"}, ["--from", "20s", "--to", "30s", "--thread", "4711", "--route", "/users/*"]),
        "live": ({"metric": "live"}, ["--metric", "live"]),
    }
    want = {name: {"state": state, **totals(snaps[1], *options)} for name, (state, options) in parts.items()}
    assert want["range"]["total"] > 20 and want["route"]["total"] > 5 and want["mixed"]["total"] > 5
    (tmp_path / "want.json").write_text(json.dumps(want))
    assert node("page_ui.mjs", one, both, hostile, tmp_path / "want.json", tmp_path, empty).startswith(b"ok ")


def test_what_the_file_holds(snaps):
    html = run([ANALYZE, "html", *snaps])
    text = html.decode()
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\((?!data:)", re.sub(r"<script id=\"data\".*?</script>", "", text, flags=re.S)), "it asks the network for something"
    data = page_data(html)
    for rec, snapshot in zip(data["recordings"], snaps):
        cpu = next(m for m in rec["metrics"] if m["name"] == "cpu")
        assert sum(cpu["value"]) == report(snapshot)["total"] and cpu["samples"]["count"] == 600
        assert rec["losses"] == [["cpu.dropped", 3]]
        depth = rec["nodes"]["depth"]
        assert depth[0] == 1 and all(0 < b <= a + 1 for a, b in zip(depth, depth[1:])), "nodes stand in the order of a walk"
    assert run([ANALYZE, "html", snaps[0]]) == run([ANALYZE, "html", snaps[0]]), "the same file twice"


ROUTES = {"GET /users/*": 15, "POST /cart": 5}


def test_report_by_route_and_part(snaps):
    by = json.loads(run([ANALYZE, "report", "--by", "route", "--json", snaps[0]]))
    assert by["total"] == 600 == sum(r["value"] for r in by["routes"]) + by["none"] + by["forgotten"] and by["forgotten"] == 0
    for route in by["routes"]:
        name = f"{route['method']} {route['route']}"
        assert route["value"] == totals(snaps[0], "--route", name)["total"], name
    whole = totals(snaps[0], "--from", "0", "--to", "10000s")["total"]
    assert whole == 600 == totals(snaps[0], "--to", "30s")["total"] + totals(snaps[0], "--from", "30s")["total"]
    assert totals(snaps[0], "--from", "-10s")["total"] == totals(snaps[0], "--from", "50s")["total"]
    assert report(snaps[0])["total"] == totals(snaps[0], "--thread", "4711")["total"] + totals(snaps[0], "--thread", "4712")["total"]
    assert "by route" in run([ANALYZE, "report", "--by", "route", snaps[0]]).decode()


REFUSED = [
    (["report", "--from", "x", "SNAP"], 2, "--from takes a time"), (["report", "--from", "5", "--to", "2", "SNAP"], 2, "before --to"),
    (["report", "--thread", "12", "SNAP"], 1, "no thread 12"), (["report", "--thread", "x", "SNAP"], 2, "number of a thread"),
    (["report", "--route", "/nope", "SNAP"], 1, "no request came for the route '/nope'"), (["report", "--metric", "live", "--from", "1s", "SNAP"], 2, "not recorded by time"),
    (["report", "--by", "thread", "--from", "1s", "SNAP"], 2, "leave --from"), (["report", "--by", "route", "--metric", "live", "SNAP"], 2, "metric of time"),
    (["html", "--diff", "SNAP"], 2, "give another"), (["html", "/nonexistent.snap"], 1, "/nonexistent.snap"), (["html", "-o", "/dev/full", "SNAP"], 1, "/dev/full"), (["html"], 2, "needs a snapshot"),
]


@pytest.mark.parametrize("arguments,code,words", REFUSED, ids=[" ".join(r[0]) for r in REFUSED])
def test_refusals_are_one_sentence(snaps, arguments, code, words):
    done = subprocess.run([ANALYZE, *(str(snaps[0]) if a == "SNAP" else a for a in arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_large_page(snaps, tmp_path, node):  # noqa: F811
    """100,000 stacks and a million samples: what the browser needs for it is printed, and every click is answered."""
    html = run([ANALYZE, "html", snaps[1]])
    rec, rng = page_data(html)["recordings"][0], random.Random(5)
    depth, function, leaves = [], [], []
    while len(leaves) < 100_000:
        d = rng.randint(9, 24) if rng.random() > 0.002 else rng.randint(2, 8)
        d = min(d, depth[-1] + 1 if depth else 1)
        for k in range(rng.randint(1, 8)):
            depth.append(d + k)
            function.append(rng.randrange(4000))
        leaves.append(len(depth) - 1)
    count = 1_000_000
    cpu = {**next(m for m in rec["metrics"] if m["name"] == "cpu"), "node": leaves, "thread": [0] * len(leaves), "value": [10] * len(leaves),
           "samples": {"count": count, "time_us": [59] * count, "thread": 0, "node": [leaves[i % len(leaves)] for i in range(count)], "weight": 1, "request": 0, "shared": 0}}
    rec.update(nodes={"depth": depth, "function": function}, functions=[[f"function_{i}", "", "/usr/bin/demo", "", 0] for i in range(4000)], metrics=[cpu], leaks=None, duration_us=60_000_000)
    page = tmp_path / "large.html"
    document = json.dumps({"format": 1, "live": False, "diff": False, "recordings": [rec]}, separators=(",", ":")).encode()
    page.write_bytes(re.sub(rb'(<script id="data" type="application/json">).*?(</script>)', lambda m: m.group(1) + document + m.group(2), html, count=1, flags=re.S))
    said = node("page_large.mjs", page).decode()
    print(f"{len(depth)} nodes, {len(document) / 1e6:.1f} MB: {said}")
    assert said.startswith("ok ")


def serving(directory, *options):
    process = subprocess.Popen([ANALYZE, "serve", "--port", "0", *options, directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    return process, re.match(r"http://127\.0\.0\.1:(\d+)/ shows ", line)


@pytest.fixture
def served(snaps, tmp_path):
    """(port, directory, process): two profiles, and things that must not be served."""
    home = tmp_path / "served"
    (home / "sub").mkdir(parents=True)
    for snapshot in snaps:
        shutil.copy(snapshot, home)
    (tmp_path / "secret.snap").write_bytes(snaps[0].read_bytes())
    (home / "link.snap").symlink_to(tmp_path / "secret.snap")
    (home / "sub" / "deep.snap").write_bytes(snaps[0].read_bytes())
    (home / "junk.snap").write_bytes(b"no snapshot")
    os.utime(home / "junk.snap", (1, 1))
    (home / "notes.txt").write_text("secret")
    os.mkfifo(home / "pipe.snap")
    process, said = serving(home)
    yield int(said.group(1)), home, process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def ask(port, path, method="GET", host=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    if host is not False:
        connection.putheader("Host", host or f"127.0.0.1:{port}")
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer


def test_serve_serves_the_directory_and_nothing_else(served):
    port, home, _ = served
    status, page, answer = ask(port, "/")
    assert status == 200 and answer.getheader("Content-Type").startswith("text/html") and answer.getheader("X-Content-Type-Options") == "nosniff"
    assert page_data(page) == {"format": 1, "live": True, "diff": False, "metric": "", "normalize": "none", "recordings": []}
    files = json.loads(ask(port, "/list")[1])
    assert [f["name"] for f in files["files"]] == ["junk.snap", "before.snap", "after.snap"] and files["skipped"] == 2
    status, body, _ = ask(port, "/recording?name=before.snap")
    assert status == 200 and json.loads(body) == page_data(run([ANALYZE, "html", home / "before.snap"]))["recordings"][0]
    outside = ["../secret.snap", "..%2fsecret.snap", "link.snap", "sub/deep.snap", "sub%2Fdeep.snap", "notes.txt", "pipe.snap", "/etc/passwd", str(home / "before.snap").replace("/", "%2f"), "before.snap%00",
               "./before.snap", "", "x" * 5000]
    for name in outside:
        assert ask(port, f"/recording?name={name}")[0] in (404, 400), name
    for path in ("/../secret.snap", "/notes.txt", "/before.snap", "/%2e%2e/secret.snap", "//etc/passwd", "/list/", "/recording"):
        status, body, _ = ask(port, path)
        assert status in (400, 404) and b"\x89PPSNP" not in body and b"secret\n" not in body, path
    assert ask(port, "/recording?name=junk.snap")[0] == 422
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1:{port}.evil.example", f"localhost.evil:{port}", False, ""):
        assert ask(port, "/list", host=host)[0] in ((403, 400) if host != "" else (200, 400, 403)), host
    assert ask(port, "/list", host=f"LOCALHOST:{port}")[0] == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(port, "/recording?name=before.snap", method=method, body=b"x" * 100)[0] == 405, method
    assert ask(port, "/list", method="HEAD")[:2] == (200, b"")
    (home / "before.snap").unlink()
    assert ask(port, "/recording?name=before.snap")[0] == 404, "gone is gone"


def test_serve_is_for_its_own_user(served):
    port, _, _ = served
    if os.geteuid() != 0:
        pytest.skip("only root can ask as another user")
    script = f"import socket; s = socket.create_connection(('127.0.0.1', {port}), 5); s.sendall(b'GET /list HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n'); print(len(s.recv(99)))"
    said = [subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True, timeout=20, **recording.identity(user)) for user in (None, 65534)]
    assert int(said[0].stdout) > 0 and said[1].stdout.strip() in ("0", "") and ("Reset" in said[1].stderr or said[1].stdout.strip() == "0")


def test_serve_bears_bad_clients(served):
    """Connections that say nothing, garbage and long headers: the next one is answered."""
    port, _, process = served
    idle = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
    for junk in (b"\x00\xff" * 500, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000, b"GET /list HTTP/1.1\r\nHost: " + b"a" * 70000, b"GET /\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), 1) as s, contextlib.suppress(OSError):
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            s.recv(10)
    assert ask(port, "/list")[0] == 200 and process.poll() is None
    for s in idle:
        s.close()


def test_serve_refuses_in_one_sentence(tmp_path, served):
    port, home, _ = served
    (tmp_path / "file").write_text("x")
    for arguments, code, words in (([home, "--port", str(port)], 1, "cannot listen"), ([tmp_path / "none"], 1, "No such file"), ([tmp_path / "file"], 1, "no directory"), ([], 2, "needs a directory"),
                                   ([home, "--port", "70000"], 2, "up to 65535")):
        done = subprocess.run([ANALYZE, "serve", *map(str, arguments)], capture_output=True, text=True, timeout=20)
        assert done.returncode == code and words in done.stderr and done.stderr.count("\n") == 1 and not done.stdout, done


def test_the_live_page(served, snaps, tmp_path, node):  # noqa: F811
    """page_live.mjs: the list, a new file without a reload, any two compared, a program that runs."""
    port, home, _ = served
    env = recording.environment(home, cpu=199)
    program = subprocess.Popen([recording.VICTIMS / "victim_spin", "40", "2"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        recording.wait_until(lambda: recording.snapshots(home, "*.live"), what="a live file")
        assert node("page_live.mjs", f"http://127.0.0.1:{port}/", snaps[0], home / "newest.snap").startswith(b"ok ")
    finally:
        program.kill()
        program.wait(10)


def test_diff_normalises_and_knows_its_error(tmp_path):
    """Twice as long and twice as many requests: nothing has changed by either; one function is new, one is gone."""
    paths = [make(tmp_path / f"{k}.snap", "\n".join([
        "comm demo", "hz 100", f"end {61 + 60 * k}", f"cpu 0 401000;401100 {1000 * (k + 1)}", f"cpu 0 401000;401200 {100 + 130 * k}", f"cpu 0 401000;401{3 + k}00 400", f"cpu 0 401000;401{700 + 100 * k} 2",
        f"route 200 {50 * (k + 1)} 1000 GET /"]) + "\n") for k in range(2)]

    def diff(*options):
        return json.loads(run([ANALYZE, "diff", "--metric", "cpu", "--json", *options, *paths]))

    def of(result, leaf):
        return next(s for s in result["stacks"] if s["frames"][0] == leaf)

    plain = diff()
    assert plain["scale"] == 1 and of(plain, "demo+0x401100")["delta"] == 1000 and not of(plain, "demo+0x401100")["within_error"]
    for how in ("duration", "requests"):
        got = diff("--normalize", how)
        assert got["scale"] == 2 and of(got, "demo+0x401100")["delta"] == 0, how
        assert of(got, "demo+0x401200")["delta"] == 30 and of(got, "demo+0x401200")["within_error"], "200 and 230: chance"
        assert abs(of(got, "demo+0x401200")["error"] - 1.96 * (100 * 4 + 230) ** 0.5) < 0.01
    big = [f["function"] for f in plain["new"] if not f["within_error"]], [f["function"] for f in plain["vanished"] if not f["within_error"]]
    assert big == ([plain_new(1)], [plain_new(0)]) and len(plain["new"]) == 2 and len(plain["vanished"]) == 2
    text = run([ANALYZE, "diff", "--metric", "cpu", "--normalize", "duration", *paths]).decode()
    assert f"New functions: {plain_new(1)} " in text and f"Vanished functions: {plain_new(0)} " in text and "within the sampling error" in text and "counts 2 times" in text
    html = page_data(run([ANALYZE, "diff", "--metric", "cpu", "--normalize", "requests", "--format", "html", *paths]))
    assert html["diff"] and html["metric"] == "cpu" and html["normalize"] == "requests" and len(html["recordings"]) == 2
    svg = run([ANALYZE, "flamegraph", "--per", "duration", "--metric", "cpu", *paths]).decode()
    data = json.loads(re.search(r'<script id="data" type="application/json"><!\[CDATA\[(.*?)\]\]>', svg, re.S).group(1))
    colours = {data["functions"][f - 1][0]: c for f, c in zip(data["function"], data["colour"]) if f}
    assert data["before_scale"] == 2 and colours["demo+0x401100"] == colours["demo+0x401200"] == "d0" and colours[plain_new(1)] not in ("d0",)


def plain_new(k):
    return f"demo+0x401{3 + k}00"


def test_flame_graph_by_thread_and_route(snaps):
    for by, total in (("thread", report(snaps[0])["total"]), ("route", 600)):
        svg = run([ANALYZE, "flamegraph", "--group", by, snaps[0]]).decode()
        data = json.loads(re.search(r'<script id="data" type="application/json"><!\[CDATA\[(.*?)\]\]>', svg, re.S).group(1))
        roots = {data["functions"][f - 1][0]: v for f, p, v in zip(data["function"], data["parent"], data["total0"]) if f and p == 0}
        assert data["total0"][0] == total == sum(roots.values()), by
        for name, value in roots.items():
            if by == "thread":
                assert value == totals(snaps[0], "--thread", re.search(r"\((\d+)\)", name).group(1))["total"], name
            elif name != "[no request]":
                assert value == totals(snaps[0], "--route", name[1:-1])["total"], name
        assert len(roots) == (2 if by == "thread" else 3)


def test_a_recording_has_a_series(tmp_path):
    """CPU time and memory over time, from the recorder to the page."""
    recording.record(tmp_path, [recording.VICTIMS / "victim_spin", "1.2", "2"], cpu=99, heap="full")
    (snapshot,) = recording.snapshots(tmp_path)
    (rec,) = page_data(run([ANALYZE, "html", snapshot]))["recordings"]
    series = rec["series"]
    assert 5 <= len(series["time_us"]) <= rec["duration_us"] / 100_000 + 3, "ten a second, and one for the file"
    for key in ("time_us", "cpu_ns", "requests"):
        assert series[key] == sorted(series[key]), key
    assert abs(series["cpu_ns"][-1] - rec["cpu_ns"]) < 0.1e9 and series["cpu_ns"][-1] > 0.5e9
    assert min(series["rss_bytes"]) > 500_000 and abs(series["time_us"][-1] - rec["duration_us"]) < 200_000

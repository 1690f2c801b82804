"""The page that `html` writes, in a browser: its sums are those of `report`, and mouse, keyboard, search, range and a narrow
window do what they should. The recordings have known content (make_snapshot). node and Chromium are needed."""

import collections
import json
import random
import re
import subprocess

import pytest

import recording
from test_views import ANALYZE, BIN, NODE, node, report, run, sums  # noqa: F401 (node: a fixture)

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
    parts = {
        "all": ({}, []), "range": ({"from": 25_000_000, "to": 31_500_000}, ["--from", "25s", "--to", "31500ms"]),
        "thread": ({"tid": 4712}, ["--thread", "4712"]), "route": ({"route": "POST /cart"}, ["--route", "POST /cart"]),
        "mixed": ({"from": 20_000_000, "to": 30_000_000, "tid": 4711, "route": "GET /users/*"}, ["--from", "20s", "--to", "30s", "--thread", "4711", "--route", "/users/*"]),
        "live": ({"metric": "live"}, ["--metric", "live"]),
    }
    want = {name: {"state": state, **totals(snaps[1], *options)} for name, (state, options) in parts.items()}
    assert want["range"]["total"] > 20 and want["route"]["total"] > 5 and want["mixed"]["total"] > 5
    (tmp_path / "want.json").write_text(json.dumps(want))
    assert node("page_ui.mjs", one, both, hostile, tmp_path / "want.json", tmp_path).startswith(b"ok ")


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

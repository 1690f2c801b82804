"""probe-load against servers that keep their own books: the sample server, nginx, and one that misbehaves on purpose."""
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from bad_server import BadServer

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PERFPROBE_BUILD", ROOT / "build" / "release"))
PROBE_LOAD = BUILD / "bin" / "probe-load"
SAMPLE_SERVER = BUILD / "bin" / "sample_server"


def load(*args, timeout=60, **kwargs):
    return subprocess.run([PROBE_LOAD, *map(str, args)], capture_output=True, text=True, timeout=timeout, **kwargs)


def results(*args, code=0, **kwargs):
    done = load(*args, "--json", **kwargs)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def errors(r):
    return {kind: n for kind, n in r["errors"].items() if n}


def check_sums(r):
    """What must hold in every result, whatever happened."""
    requests, failed = r["metrics"]["http_reqs"]["count"], r["metrics"]["http_req_failed"]
    responses = sum(r["status"].values())
    assert requests == responses + sum(r["errors"].values())
    assert failed["passes"] + failed["fails"] == requests
    # Timeouts are latencies too, except where not even the connection was made.
    assert responses <= r["metrics"]["http_req_duration"]["count"] <= responses + r["errors"]["timeout"]
    assert r["metrics"]["http_req_waiting"]["count"] == responses
    return requests


@pytest.fixture(scope="module")
def sample():
    server = subprocess.Popen([SAMPLE_SERVER, "--port", "0", "--seconds", "120"], stdout=subprocess.PIPE, text=True)
    yield "http://" + server.stdout.readline().split()[-1]
    server.terminate()
    assert server.wait(10) == 0


def stats(url):
    with urllib.request.urlopen(url + "/stats", timeout=10) as reply:
        return json.load(reply)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed (scripts/setup installs it)")
    home = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    temp = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "file").write_bytes(b"f" * 612)
    (home / "nginx.conf").write_text(
        f"""daemon off; worker_processes 2; pid {home}/pid; error_log {home}/error.log;
        events {{ worker_connections 1024; }}
        http {{ log_format short '$status $request_method $uri'; access_log {home}/access.log short; {temp} keepalive_requests 50;
          server {{ listen 127.0.0.1:{port}; listen unix:{home}/sock;
            location = /empty {{ return 200; }} location = /gone {{ return 410; }} location / {{ root {home}; }} }} }}""")
    server = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
    wait_until(lambda: answers(port))
    yield f"http://127.0.0.1:{port}", home / "access.log"
    server.terminate()
    server.wait(10)


def wait_until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def logged(log, since):
    return Counter(line.split()[0] for line in log.read_text()[since:].splitlines())


@pytest.mark.parametrize("args", [["-n", 1], ["-n", 1000, "-c", 1], ["-n", 5000, "-c", 64, "-t", 2], ["-n", 777, "-c", 10, "-t", 3],
                                  ["-n", 5, "-c", 64, "-t", 4]])
def test_number_of_attempts_is_exact(sample, args):
    before = stats(sample)["requests"]
    r = results(sample + "/", *args)
    assert check_sums(r) == args[1] == r["status"]["200"]
    assert stats(sample)["requests"] - before == args[1]
    assert errors(r) == {} and r["reconnects"] == 0
    assert r["connections_opened"] <= min(args[1], r["connections"])


def test_duration_agrees_with_the_server(sample):
    before = stats(sample)["requests"]
    r = results(sample + "/", "-c", 8, "-t", 2, "-d", "700ms")
    assert stats(sample)["requests"] - before == check_sums(r)
    assert 0.7 <= r["elapsed_s"] + 0.01 and r["elapsed_s"] < 1.2
    assert r["duration_s"] == pytest.approx(0.7)
    assert r["metrics"]["http_reqs"]["rate"] == pytest.approx(r["metrics"]["http_reqs"]["count"] / 0.7, rel=0.05)


def test_requests_under_way_are_waited_for(sample):
    before = stats(sample)["requests"]
    r = results(sample + "/cpu?ms=150", "-c", 4, "-d", "50ms")
    assert check_sums(r) == r["status"]["200"] == stats(sample)["requests"] - before == 4
    assert r["interrupted"] == 0 and r["duration_s"] == pytest.approx(0.05)
    assert r["metrics"]["http_reqs"]["rate"] == 0  # none of them ended while the load was on


def test_leaks_of_the_sample_server_are_exact(sample):
    before = stats(sample)
    results(sample + "/leak?bytes=2000", "-n", 300)
    results(sample + "/cache?bytes=100", "-n", 40)
    after = stats(sample)
    assert after["leaked_bytes"] - before["leaked_bytes"] == 300 * 2000
    assert after["leaked_blocks"] - before["leaked_blocks"] == 300
    assert after["cache_bytes"] - before["cache_bytes"] == 40 * 100


def test_slow_is_slow_now_and_then(sample):
    r = results(sample + "/slow?ms=100", "-n", 100, "-c", 4)
    d = r["metrics"]["http_req_duration"]
    assert 95 < d["max"] and d["med"] < 50


def test_latency_is_the_servers(sample):
    r = results(sample + "/cpu?ms=30", "-n", 20, "-c", 1)
    d = r["metrics"]["http_req_duration"]
    assert 30 <= d["min"] <= d["med"] <= d["p(90)"] <= d["p(95)"] <= d["p(99)"] <= d["p(99.9)"] <= d["max"]
    assert d["min"] < 10 * 30  # the unit is right; how long a busy machine takes at worst is not the driver's doing
    assert d["min"] <= d["avg"] <= d["max"]
    assert d["p(50)"] == d["med"]
    assert {k: v for k, v in r["metrics"]["http_req_response_time"].items()} == d
    assert r["metrics"]["http_req_lateness"]["max"] == 0


@pytest.mark.parametrize("code", [200, 204, 301, 304, 404, 503])
def test_statuses(sample, code):
    r = results(f"{sample}/status?code={code}", "-n", 30)
    assert r["status"] == {str(code): 30} and check_sums(r) == 30
    assert r["metrics"]["http_req_failed"]["passes"] == (30 if code >= 400 else 0)


@pytest.mark.parametrize("path", ["/bytes?n=5000000", "/chunked?n=5000000", "/bytes?n=20000", "/chunked?n=1"])
def test_bodies_are_counted(sample, path):
    r = results(sample + path, "-n", 8, "-c", 2)
    n = int(path.split("=")[1])
    assert r["status"] == {"200": 8}
    assert 8 * n <= r["metrics"]["data_received"]["count"] <= 8 * n * 1.01 + 8 * 200


def test_nginx_log_agrees(nginx):
    url, log = nginx
    for path, args in (("/empty", ["-n", 20000, "-c", 32, "-t", 2]), ("/file", ["-d", "500ms", "-c", 16]), ("/gone", ["-n", 5000])):
        since = len(log.read_text())
        r = results(url + path, *args)
        wait_until(lambda: sum(logged(log, since).values()) >= sum(r["status"].values()))  # it is written after the response
        assert logged(log, since) == r["status"]
        assert check_sums(r) == sum(r["status"].values())
        # keepalive_requests 50: nginx announces the close, so that no attempt is lost to it
        assert r["reconnects"] > 0 and errors(r) == {}


@pytest.mark.parametrize("kind, failure", [
    ("reset", "reset"), ("reset_midway", "reset"), ("malformed", "malformed"), ("bad_chunk", "malformed"), ("huge_head", "malformed"),
    ("surplus", "malformed"), ("early_close", "closed"), ("half", "truncated")])
def test_failures_by_kind(kind, failure):
    with BadServer() as s:
        r = results(f"http://127.0.0.1:{s.port}/{kind}", "-n", 40, "-c", 4, code=1)
        assert errors(r) == {failure: 40} == {failure: s.seen[kind]}
        assert check_sums(r) == 40 and r["status"] == {}
        assert r["metrics"]["http_req_failed"]["value"] == 1
        assert r["metrics"]["http_req_duration"]["count"] == 0 and r["metrics"]["http_req_duration"]["avg"] is None
        assert r["verdict"] == "INVALID"


@pytest.mark.parametrize("kind", ["ok", "until_close", "close_announced", "interim", "chunked_split", "big", "big_chunked"])
def test_odd_but_right(kind):
    with BadServer() as s:
        r = results(f"http://127.0.0.1:{s.port}/{kind}", "-n", 40, "-c", 4)
        assert r["status"] == {"200": 40} and s.seen[kind] == 40 == check_sums(r)
        closes = kind in ("until_close", "close_announced")
        assert r["connections_opened"] == (40 if closes else 4)
        assert r["reconnects"] == (36 if closes else 0)


def test_no_content_and_head():
    with BadServer() as s:
        assert results(f"http://127.0.0.1:{s.port}/no_content", "-n", 20)["status"] == {"204": 20}
        assert results(f"http://127.0.0.1:{s.port}/head_only", "-n", 20, "-m", "HEAD")["status"] == {"200": 20}
        assert all(h.startswith(b"HEAD ") for h in s.heads[20:])


def test_close_between_requests_costs_no_attempt():
    with BadServer() as s:
        r = results(f"http://127.0.0.1:{s.port}/close_unannounced", "-n", 200, "-c", 4)
        # Where the close came a moment after the next request was sent, that attempt failed, unseen by the server.
        lost = r["errors"]["closed"] + r["errors"]["reset"]
        assert check_sums(r) == 200 and r["status"]["200"] == 200 - lost == s.seen["close_unannounced"]
        assert lost < 100 and sum(r["errors"].values()) == lost


def test_a_mix_agrees_with_the_server():
    with BadServer() as s:
        r = results(f"http://127.0.0.1:{s.port}/mix", "-n", 800, "-c", 8, "-t", 2)
        assert check_sums(r) == 800 == sum(s.seen.values())
        assert r["status"] == {"200": s.seen["ok"] + s.seen["chunked_split"]}
        assert errors(r) == {"reset": 100, "malformed": 200, "closed": 100, "truncated": 100}
        assert r["malformed"] == {"the status line is not that of HTTP/1.x": 100, "bytes follow the end of the response": 100}


@pytest.mark.parametrize("kind", ["never", "drip"])
def test_timeouts_are_counted_and_are_latency(kind):
    with BadServer() as s:
        start = time.monotonic()
        r = results(f"http://127.0.0.1:{s.port}/{kind}", "-n", 6, "-c", 3, "--timeout", "200ms", code=1)
        assert 0.4 <= time.monotonic() - start < 2
        assert errors(r) == {"timeout": 6} and s.seen[kind] == 6 == check_sums(r)
        d = r["metrics"]["http_req_duration"]
        assert d["count"] == 6 and 195 <= d["min"] <= d["max"] < 400


def test_timeout_ends_a_run_by_time():
    with BadServer() as s:
        start = time.monotonic()
        r = results(f"http://127.0.0.1:{s.port}/never", "-d", "100ms", "-c", 2, "--timeout", "300ms", code=1)
        assert time.monotonic() - start < 2 and errors(r) == {"timeout": 2}


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@pytest.mark.parametrize("limit", [["-n", 50], ["-d", 30]])
def test_closed_port(limit):
    port = closed_port()
    start = time.monotonic()
    done = load(f"http://127.0.0.1:{port}/", *limit, "-c", 4, "-t", 2)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"probe-load: no request was answered by 127\.0\.0\.1 port {port}: connection refused \(\d+ of \d+ attempts\)\n",
                        done.stderr)
    assert time.monotonic() - start < 5
    r = results(f"http://127.0.0.1:{port}/", "-n", 50, "-c", 4, code=1)
    assert errors(r) == {"refused": 50}


def test_server_that_dies_midway():
    server = subprocess.Popen([SAMPLE_SERVER, "--port", "0", "--seconds", "1"], stdout=subprocess.PIPE, text=True)
    url = "http://" + server.stdout.readline().split()[-1]
    r = results(url + "/", "-d", 2, "-c", 4)
    assert server.wait(10) == 0
    assert check_sums(r) > 0 and r["status"]["200"] > 0
    # Refused connections pause: the count is that of people knocking, not of a busy loop.
    assert 0 < r["errors"]["refused"] < 4 * 110 * 2
    assert r["duration_s"] == pytest.approx(2)


def test_unknown_host():
    done = load("http://no-such-host.invalid/", "-n", 5)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("probe-load: the host name 'no-such-host.invalid' was not found")
    assert errors(results("http://no-such-host.invalid/", "-n", 5, code=1)) == {"dns": 1}


@pytest.mark.parametrize("host, name", [("::1", "[::1]"), ("::1", "localhost"), ("127.0.0.1", "localhost")])
def test_addresses(host, name):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
    if name == "localhost" and host not in {a[4][0] for a in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}:
        pytest.skip(f"localhost does not name {host} here")
    with BadServer(host) as s:
        r = results(f"http://{name}:{s.port}/ok", "-n", 50, "-c", 4)
        assert r["status"] == {"200": 50} and errors(r) == {}
        assert s.heads[0].split(b"\r\n")[1] == f"Host: {name}:{s.port}".encode()


def test_unix_sockets(nginx, tmp_path):
    path = nginx[1].parent / "sock"
    r = results("http://anything/empty", "-n", 300, "-c", 4, "--unix-socket", path)
    assert check_sums(r) == 300 == r["status"]["200"] and errors(r) == {}
    done = load("http://a/", "-n", 3, "--unix-socket", tmp_path / "none")
    assert done.returncode == 1 and f"no request was answered at {tmp_path}/none: connection refused (3 of 3" in done.stderr
    done = load("http://a/", "-n", 3, "--unix-socket", "x" * 200)
    assert done.returncode == 1 and "longer than the 107 bytes" in done.stderr


def test_request_as_asked(tmp_path):
    body = bytes(range(256)) * 1000
    (tmp_path / "body").write_bytes(body)
    with BadServer() as s:
        r = results(f"http://127.0.0.1:{s.port}/ok", "-n", 20, "-m", "PATCH", "-H", "X-Test: 1", "-H", "User-Agent: me", "-b", f"@{tmp_path}/body")
        assert r["status"] == {"200": 20} and s.bodies == [body] * 20
        head = s.heads[0].split(b"\r\n")
        assert head[0] == b"PATCH /ok HTTP/1.1"
        assert b"X-Test: 1" in head and b"User-Agent: me" in head and sum(h.startswith(b"User-Agent") for h in head) == 1
        assert r["metrics"]["data_sent"]["count"] == 20 * (len(body) + len(s.heads[0]) + 4)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_early_and_prints(sample, sig):
    p = subprocess.Popen([PROBE_LOAD, sample + "/", "-d", "60", "-c", "4", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    p.send_signal(sig)
    out, err = p.communicate(timeout=10)
    r = json.loads(out)
    assert p.returncode == 105 and err == ""
    assert r["ended_early"] and r["status"]["200"] > 0 and r["interrupted"] <= 4
    assert check_sums(r) and 0.3 < r["duration_s"] < 5


def test_a_signal_ends_a_hanging_run():
    with BadServer() as s:
        p = subprocess.Popen([PROBE_LOAD, f"http://127.0.0.1:{s.port}/never", "-c", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=10)
        assert p.returncode == 105
        assert "cut off      3 requests" in out
        assert err == f"probe-load: the run ended before 127.0.0.1:{s.port} answered anything\n"


def test_files(sample, tmp_path):
    out, summary = tmp_path / "out.json", tmp_path / "summary.json"
    out.write_text("x" * 100000)  # an older, longer one
    done = load(sample + "/", "-n", 10, "--out", f"json={out}", "--summary-export", summary)
    assert done.returncode == 0 and "requests     10" in done.stdout
    assert out.read_text() == summary.read_text()
    r = json.loads(out.read_text())
    assert r["status"] == {"200": 10} and r["verdict"] in ("VALID", "SUSPECT")
    assert r["root_group"]["checks"] == {}


@pytest.mark.parametrize("path, why", [("/nonexistent/x.json", "No such file"), ("/dev/full", "No space left")])
def test_results_that_cannot_be_written(sample, path, why):
    done = load(sample + "/", "-n", 10, "--out", f"json={path}")
    assert done.returncode == 1 and f"cannot write '{path}': {why}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_full_standard_output(sample):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROBE_LOAD, sample + "/", "-n", "3"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and "cannot write" in done.stderr


@pytest.mark.parametrize("args, sentence", [
    ([], "no URL given"), (["http://a/", "http://b/"], "one URL"), (["http://a/", "-c", "x"], "--connections takes a whole number"),
    (["http://a/", "-c", "0"], "-c 0 would do nothing"), (["http://a/", "--nonsense"], "unknown option --nonsense"),
    (["http://a:70000/"], "not in 1..65535"), (["http://a/", "-r", "-1"], "-r takes"), (["http://a/", "--poisson"], "needs a rate"),
    (["http://a/", "--preset", "xyz"], "none of smoke"), (["http://a/", "--stage", "5"], "DURATION:TARGET"), (["http://a/", "--stage", "5s:0"], "would do nothing"),
    (["http://a/", "--stage", "5s:1", "-d", "1s"], "no place"), (["http://a/", "-n", "1", "--warmup", "1s"], "limited by time"),
    (["search", "plan.js"], "search is not built yet"), (["help", "search"], "search is not built yet"), (["help", "a", "b"], "'b' is one too many"),
    (["help", "compl"], "did you mean 'completion'?"), (["help", "xyz"], "there is no command 'xyz'"), (["completion"], "bash, zsh or fish"), (["http://a/", "--out", "xml=x"], "--out takes json=FILE"), (["http://a/", "--out", "json="], "the name of a file"),
    (["http://::1/"], "stands in brackets"), (["http://a/", "-d"], "-d needs a duration"), (["http://a/", "--duratoin", "1s"], "did you mean --duration?"), (["http://a/", "-H", "bad"], "-H 'bad'"),
    (["http://127.0.0.1:1/", "-c", "999999", "-t", "1"], "file descriptors")])
def test_wrong_use_is_one_sentence(args, sentence):
    done = load(*args)
    assert done.returncode == 1 and sentence in done.stderr
    assert done.stdout == "" and done.stderr.startswith("probe-load: ") and done.stderr.count("\n") == 1


def test_help_and_version():
    done = load("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("--connections", "--timeout", "exit status", "105", "examples:"):
        assert word in done.stdout
    assert load("help").stdout == done.stdout and load("help").returncode == 0
    for args in (["help", "completion"], ["completion", "--help"]):
        assert load(*args).stdout.startswith("usage: probe-load completion bash|zsh|fish\n")
    for args in (["help", "help"], ["help", "--help"]):
        assert load(*args).stdout.startswith("usage: probe-load help [COMMAND]\n")
    assert re.fullmatch(r"probe-load \d+\.\d+\.\d+\n", load("--version").stdout)


def run_on_terminal(*args):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["LC_ALL"] = "C.UTF-8"
        os.execv(PROBE_LOAD, [str(PROBE_LOAD), *map(str, args)])
    shown = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return shown.decode()


def test_progress_only_on_a_terminal(sample):
    shown = run_on_terminal(sample + "/", "-d", "700ms", "-c", 2)
    assert "under way" in shown and "█" in shown
    assert "under way" not in run_on_terminal(sample + "/", "-d", "700ms", "-c", 2, "-q")
    done = load(sample + "/", "-d", "700ms", "-c", 2)
    assert done.stderr == "" and "█" not in done.stdout and "#" in done.stdout

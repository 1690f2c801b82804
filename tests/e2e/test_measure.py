"""What probe-load measures, in every form it is written in: each read by a reader that is not ours, and all agreeing with each other."""
import csv
import datetime
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PERFPROBE_BUILD", ROOT / "build" / "release"))
PROBE_LOAD, PROBE_ANALYZE = BUILD / "bin" / "probe-load", BUILD / "bin" / "probe-analyze"
SAMPLE_SERVER = BUILD / "bin" / "sample_server"
K6_CSV = ("metric_name,timestamp,metric_value,check,error,error_code,expected_response,group,method,name,proto,scenario,service,"
          "status,subproto,tls_version,url,extra_tags,metadata")
JTL = ("timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,sentBytes,grpThreads,"
       "allThreads,URL,Latency,IdleTime,Connect")


def load(*args, code=0, timeout=60):
    done = subprocess.run([PROBE_LOAD, *map(str, args)], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def results(*files):
    done = subprocess.run([PROBE_ANALYZE, "results", "--json", *map(str, files)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sample():
    server = subprocess.Popen([SAMPLE_SERVER, "--port", "0", "--seconds", "120"], stdout=subprocess.PIPE, text=True)
    yield "http://" + server.stdout.readline().split()[-1]
    server.terminate()
    assert server.wait(10) == 0


class SlowNowAndThen(http.server.BaseHTTPRequestHandler):
    """Every tenth answer takes 50 ms, every fifth of those is a 503."""
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self):
        SlowNowAndThen.count += 1
        n = SlowNowAndThen.count
        if n % 10 == 0:
            time.sleep(0.05)
        self.send_response(503 if n % 50 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def python_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowNowAndThen)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def run(python_server, tmp_path_factory):
    """One run, written in every form."""
    home = tmp_path_factory.mktemp("run")
    forms = ("json", "ndjson", "csv", "jtl", "prom", "hgrm", "results")
    SlowNowAndThen.count = 0
    load(python_server + "/a,b", "-n", 400, "-c", 1, *(a for f in forms for a in ("--out", f"{f}={home / f}")),
         "--summary-export", home / "summary", "--threshold", "http_req_duration{status:503}: min>40", "--threshold", "http_req_failed: rate<50%")
    return home


def test_summary_has_both_of_k6s_shapes(run):
    r = json.loads((run / "json").read_text())
    assert r == json.loads((run / "summary").read_text())
    duration, failed = r["metrics"]["http_req_duration"], r["metrics"]["http_req_failed"]
    assert duration["values"]["p(95)"] == duration["p(95)"] == duration["p95"] >= 50
    assert failed["passes"] == 8 and failed["value"] == failed["rate"] == 0.02
    assert failed["thresholds"] == {"rate<50%": False}
    sub = r["metrics"]["http_req_duration{status:503}"]
    assert sub["count"] == 8 and sub["thresholds"] == {"min>40": False}
    assert r["metrics"]["http_reqs"]["count"] == r["metrics"]["iterations"]["count"] == 400
    assert r["metrics"]["vus"]["value"] == 1 and r["metrics"]["http_req_tls_handshaking"]["max"] == 0
    assert r["metrics"]["http_req_connecting"]["count"] == 400  # k6's zeros
    (endpoint,) = r["endpoints"]
    assert endpoint["requests"] == 400 and endpoint["failed"] == 8 and endpoint["name"].endswith("/a,b")


def test_ndjson(run):
    lines = [json.loads(line) for line in (run / "ndjson").read_text().splitlines()]
    metrics = {line["metric"]: line["data"] for line in lines if line["type"] == "Metric"}
    points = [line for line in lines if line["type"] == "Point"]
    assert metrics["http_req_duration"]["type"] == "trend" and metrics["http_req_duration"]["contains"] == "time"
    assert {p["metric"] for p in points} == set(metrics)
    durations = sorted(p["data"]["value"] for p in points if p["metric"] == "http_req_duration")
    assert len(durations) == 400 and sum(p["data"]["value"] for p in points if p["metric"] == "http_req_failed") == 8
    for p in points:
        datetime.datetime.fromisoformat(p["data"]["time"][:26] + "+00:00")
        assert p["data"]["tags"]["status"] in ("200", "503") and p["data"]["tags"]["method"] == "GET"
    # Percentiles of the summary against the exact ones: the histogram's bound.
    summary = json.loads((run / "json").read_text())["metrics"]["http_req_duration"]
    for key, q in (("p(50)", 0.5), ("p(90)", 0.9), ("p(99)", 0.99)):
        exact = durations[max(0, -(-int(q * 1000) * 400 // 1000) - 1)]
        assert abs(summary[key] - exact) <= exact / 1000, key
    assert abs(summary["max"] - durations[-1]) < 1e-6


def test_csv(run):
    text = (run / "csv").read_text()
    assert text.splitlines()[0] == K6_CSV
    rows = list(csv.DictReader(text.splitlines()))
    assert len([r for r in rows if r["metric_name"] == "http_reqs"]) == 400
    failed = [r for r in rows if r["metric_name"] == "http_req_failed" and float(r["metric_value"]) == 1]
    assert len(failed) == 8
    for r in failed:
        assert r["status"] == "503" and r["error_code"] == "1503" and r["expected_response"] == "false"
    assert all(r["name"].endswith("/a,b") for r in rows)  # the comma is quoted


def test_jtl(run):
    text = (run / "jtl").read_text()
    assert text.splitlines()[0] == JTL
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 400 and sum(r["success"] == "false" for r in rows) == 8
    now = time.time() * 1000
    for r in rows:
        assert now - 120000 < int(r["timeStamp"]) <= now and int(r["Latency"]) <= int(r["elapsed"]) + 1
        assert r["responseCode"] == ("200" if r["success"] == "true" else "503") and r["bytes"] == "2"
    assert sum(int(r["elapsed"]) >= 50 for r in rows) >= 40  # a busy machine makes others slow, too


def test_failures_in_rows(tmp_path):
    load("http://127.0.0.1:9/", "-n", 3, "-c", 1, "--out", f"jtl={tmp_path / 'jtl'}", "--out", f"csv={tmp_path / 'csv'}", code=1)
    rows = list(csv.DictReader((tmp_path / "jtl").read_text().splitlines()))
    assert [(r["responseCode"], r["success"], r["failureMessage"]) for r in rows] == [
        ("Non HTTP response code: refused", "false", "connection refused")] * 3
    rows = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
    assert {r["metric_name"] for r in rows} == {"http_reqs", "http_req_failed"}
    assert {(r["status"], r["error"], r["error_code"]) for r in rows} == {("0", "refused", "1212")}


def test_prometheus(run):
    text = (run / "prom").read_text()
    promtool = shutil.which("promtool")
    assert promtool, "promtool is not installed (scripts/setup installs it)"
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    total = [line for line in text.splitlines() if line.startswith("probe_load_http_reqs_total{")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in total) == 400
    assert any('status="503"' in line and line.endswith(" 8") for line in total)


def test_hgrm(run):
    lines = (run / "hgrm").read_text().splitlines()
    rows = [list(map(float, line.split())) for line in lines[2:] if not line.startswith("#")]
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert rows[-1][1] == 1 and rows[-1][2] == 400
    assert all(a[0] <= b[0] and a[1] < b[1] and a[2] <= b[2] for a, b in zip(rows, rows[1:]))
    for value, q, count, *_ in rows:
        assert count >= q * 400 - 1e-6
    assert "Total count    =          400" in lines[-2]


def test_hgrm_is_hdrhistograms_own(run):
    """The same requests in HdrHistogram itself (4 digits): its listing has the same percentiles, and values within our 0.1 %."""
    script = ROOT / "tests" / "node" / "hdr_percentiles.mjs"
    assert (script.parent / "node_modules" / "hdr-histogram-js").exists(), "npm --prefix tests/node ci"
    done = subprocess.run(["node", script, run / "ndjson"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    theirs = {round(q, 9): (value, count) for value, q, count in json.loads(done.stdout)}
    ours = [list(map(float, line.split())) for line in (run / "hgrm").read_text().splitlines()[2:] if not line.startswith("#")]
    shared = [(value, *theirs[round(q, 9)]) for value, q, *_ in ours if round(q, 9) in theirs]
    assert len(shared) >= 20
    for mine, their, count in shared:
        assert abs(mine - their) <= their * 0.0012 + 0.001, (mine, their, count)


def test_results_agree_with_the_summary_and_add_up(run):
    one, two = results(run / "results"), results(run / "results", run / "results")
    summary = json.loads((run / "json").read_text())
    for name, m in summary["metrics"].items():
        if "{" in name or m["type"] == "gauge":
            continue
        for key in ("avg", "min", "max", "p(50)", "p(99)", "passes"):
            assert one["metrics"][name].get(key) == m.get(key), (name, key)
        assert one["metrics"][name].get("count") == m.get("count")
        if m["type"] == "trend":
            assert two["metrics"][name]["count"] == 2 * m["count"] and two["metrics"][name]["p(99)"] == m["p(99)"]
    assert one["runs"] == one["ended"] == 1 and two["runs"] == two["ended"] == 2
    assert sum(s["requests"] for s in one["slices"]) == 400 and sum(s["failed"] for s in one["slices"]) == 8
    assert one["facts"]["verdict"] in ("VALID", "SUSPECT")


def test_results_while_it_runs_and_after_a_kill(sample, tmp_path):
    path = tmp_path / "r"
    driver = subprocess.Popen([PROBE_LOAD, sample + "/", "-c", "2", "-d", "30s", "-q", "--out", f"results={path}"], stdout=subprocess.DEVNULL)
    try:
        seen = []
        for _ in range(3):
            time.sleep(1.1)
            seen.append(results(path)["metrics"]["http_reqs"]["count"])
        assert 0 < seen[0] < seen[1] < seen[2]
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait(10)
    left = results(path)
    assert left["ended"] == 0 and left["metrics"]["http_reqs"]["count"] >= seen[2] and len(left["slices"]) >= 3
    for s in left["slices"]:
        assert 0.9 < s["to_s"] - s["from_s"] < 2.5
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:size - 7])
    assert results(path)["cut_bytes"] > 0


@pytest.mark.parametrize("threshold, code", [
    ("http_req_duration: p(99)<10s", 0), ("http_req_duration: p(99.9)<0.000001", 99), ("http_req_failed: rate<1%", 0), ("http_reqs: count==50", 0),
    ("http_reqs{status:200}: count==50", 0), ("http_req_duration{status:404}: p(95)<500", 99), ("dropped_iterations: count<1", 0), ("vus: value==2", 0),
    ("nonsense: rate<1", 104), ("http_req_duration: rate<1", 104), ("http_req_duration: p(95)", 104), ("p(95)<500", 104)])
def test_thresholds(sample, threshold, code):
    done = load(sample + "/", "-n", 50, "-c", 2, "--threshold", "http_reqs: count>0", "--threshold", threshold, code=code)
    assert ("FAILED" in done.stdout) == (code == 99)
    if code == 104:
        assert done.stderr.count("\n") == 1 and "threshold" in done.stderr


def test_abort_on_fail_ends_the_run(sample):
    began = time.monotonic()
    done = load(sample + "/", "-d", "30s", "-c", 2, "--threshold", "http_req_duration: max<0.000001 abortOnFail", code=99)
    assert time.monotonic() - began < 10 and "ended early" in done.stdout


def test_window_of_a_second_that_fails(sample):
    load(sample + "/", "-d", "3s", "-c", 1, "--threshold", "http_reqs: rate>1e9 over 1s", code=99)
    load(sample + "/", "-d", "3s", "-c", 1, "--threshold", "http_reqs: rate>1 over 1s")


def test_no_samples_is_a_failure(tmp_path):
    load("http://127.0.0.1:9/", "-n", 3, "-c", 1, "--threshold", "http_req_duration: p(95)<500", code=99)
    load("http://no-such-host.invalid/", "-n", 3, "-c", 1, "--threshold", "http_req_duration: p(95)<500", code=99)


def test_memory_does_not_grow_with_the_run(sample):
    driver = subprocess.Popen([PROBE_LOAD, sample + "/", "-c", "4", "-d", "9s", "-q", "--threshold", "http_req_duration: p(99)<10s over 3s"],
                              stdout=subprocess.DEVNULL)

    def rss():
        return int(Path(f"/proc/{driver.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    time.sleep(4)
    early = rss()
    time.sleep(4)
    late = rss()
    assert driver.wait(30) == 0
    assert late - early < 1 << 20


def test_what_cannot_be_read(tmp_path):
    for name, content, why in (("none", None, "No such file"), ("empty", b"", "not a results file"), ("json", b"{}" * 40, "not a results file"),
                               ("newer", b"PPRESULT\x09\0\0\0", "version 9")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        done = subprocess.run([PROBE_ANALYZE, "results", path], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and why in done.stderr and name in done.stderr and done.stderr.count("\n") == 1


def test_full_disk_is_said(sample):
    done = load(sample + "/", "-n", 50, "-c", 1, "--out", "results=/dev/full", code=1)
    assert "cannot write '/dev/full'" in done.stderr
    done = load(sample + "/", "-n", 50, "-c", 1, "--out", "csv=/dev/full", code=1)
    assert "cannot write '/dev/full'" in done.stderr

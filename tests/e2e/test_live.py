"""The recording survives SIGKILL: the .live file of a killed process tells what it had recorded."""

import http.client
import json
import os
import random
import resource
import signal
import struct
import subprocess
import time

import pytest

from recording import BUILD, ROOT, VICTIMS, Running, analyze, by_function, environment, inclusive, info, one, record, snapshots, usable_by_all, wait_until

WORDS = 512  # of a page: 64 counts, then the process id


def counts(path):
    """Process id -> number of allocations that its threads had finished."""
    words = struct.unpack(f"<{8 * WORDS}Q", path.read_bytes())
    pages = [words[i * WORDS:(i + 1) * WORDS] for i in range(8)]
    return {page[64]: sum(page[:64]) for page in pages if page[64]}


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("threads,forks", [(1, 0), (8, 0), (3, 3)])
@pytest.mark.parametrize("heap", ["full"])
def test_killed_in_heavy_allocation(tmp_path, threads, forks, heap):
    tally = tmp_path / "tally"
    with Running(tmp_path, [VICTIMS / "victim_churn", tally, threads, forks], heap=heap, cpu=499) as running:
        wait_until(lambda: tally.exists() and tally.stat().st_size and len(counts(tally)) == forks + 1
                   and min(counts(tally).values()) > 500000, 20, "some work")
        # A forked child has its file from its first CPU sample on, and that is readable a moment later.
        wait_until(lambda: len(snapshots(tmp_path, "*.live")) == forks + 1 and
                   all(analyze("info", f, check=False).returncode == 0 for f in snapshots(tmp_path, "*.live")), 20, "all files")
        running_files = snapshots(tmp_path, "*.live")
        before = {info(f)["pid"]: info(f)["heap"]["alloc_count"] for f in running_files}  # readable while it runs
        kill_all(counts(tally))
        running.process.wait(10)
        time.sleep(0.2)
    finished = counts(tally)
    files = snapshots(tmp_path, "*.live")
    assert snapshots(tmp_path) == [] and len(files) == forks + 1
    for path in files:
        pid = info(path)["pid"]
        recorded = by_function(path, "alloc-count")["churn_once"]
        # The last event of each thread may be on one side only; a table that was being made larger costs nothing.
        assert abs(recorded - finished[pid]) <= 2 * threads, (pid, recorded, finished[pid])
        assert recorded >= before[pid] * 0.9
        live = by_function(path, "live-count")["churn_once"]
        assert abs(live - finished[pid] / 64) <= 3 * threads
        functions, total = inclusive(path, "cpu")
        assert total > 0 and functions["churn"] > 0.8 * total
        assert info(path)["reason"] == "live"
        assert "ended without a last profile (by SIGKILL" in analyze("info", path).stdout


def test_a_clean_end_leaves_none(tmp_path):
    for how in ("return", "exit", "_exit", "_Exit", "quick_exit", "abort", "exec", "thread_exit"):
        record(tmp_path, [VICTIMS / "victim_ends", how], check=False)
    record(tmp_path, [VICTIMS / "victim_forks", 3], heap="full")
    with Running(tmp_path, [VICTIMS / "victim_ends", "default"]) as running:
        wait_until(lambda: "ready" in running.output(), what="ready")
        wait_until(lambda: len(snapshots(tmp_path, "*.live")) == 1, what="the live file, made when there is something to keep")
        running.stop()
    assert snapshots(tmp_path, "*.live") == []


def test_switched_off(tmp_path):
    with Running(tmp_path, [VICTIMS / "victim_ends", "default"], live="off") as running:
        wait_until(lambda: "ready" in running.output(), what="ready")
        assert snapshots(tmp_path, "*.live") == []


def test_what_a_killed_process_of_the_same_number_left_is_kept(tmp_path):
    """Containers that share a directory all have a process 1."""
    if os.getuid() != 0:
        pytest.skip("makes a PID namespace")
    victim = [VICTIMS / "victim_ends", "default"]
    for n in (1, 2):
        command = ["unshare", "--pid", "--fork", "--kill-child", "env", f"LD_PRELOAD={environment(tmp_path)['LD_PRELOAD']}", *victim]
        env = environment(tmp_path)
        del env["LD_PRELOAD"]
        process = subprocess.Popen([str(c) for c in command], env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        wait_until(lambda: len(snapshots(tmp_path, "*.live")) == n, what=f"{n} files")
        process.kill()
        process.wait(10)
    assert [f.name for f in snapshots(tmp_path, "*.live")] == ["victim_ends.1.2.live", "victim_ends.1.live"]


def test_a_disk_that_fills(tmp_path):
    """Room for the header, not for all tables: no SIGBUS, and the file says what it lacks."""
    if os.getuid() != 0:
        pytest.skip("mounts a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "none", disk], check=True)
    try:
        tally = tmp_path / "tally"
        with Running(tmp_path, [VICTIMS / "victim_churn", tally, 4], heap="full", dir=str(disk)) as running:
            wait_until(lambda: tally.exists() and tally.stat().st_size and counts(tally) and
                       min(counts(tally).values()) > 100000, 20, "some work")
            assert running.process.poll() is None
            time.sleep(1.2)
            kill_all(counts(tally))
            assert running.process.wait(10) == -signal.SIGKILL
        lost = info(one(disk, "*.live"))["lost"]
        assert lost["live.tables_outside"] > 0
        report = analyze("report", one(disk, "*.live"), "--metric", "alloc", check=False)
        assert report.returncode in (0, 1) and report.stderr.count("\n") <= 1
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("user", [0, 65534])
def test_a_disk_that_others_fill(tmp_path, user):
    """From the moment that the file is there nothing more fits: the program runs on, the file describes itself and says what it
    lacks, and as no profile can be written it stays."""
    if os.getuid() != 0:
        pytest.skip("mounts a small file system")
    disk = usable_by_all(tmp_path) / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", disk], check=True)
    try:
        with Running(tmp_path, [VICTIMS / "victim_hostile_memory", "many_threads"], user=user, heap="full", dir=str(disk)) as running:
            wait_until(lambda: snapshots(disk, "*.live") or running.process.poll() is not None, what="the file")
            with open(disk / "fill", "ab", buffering=0) as fill:
                while running.process.poll() is None:
                    try:
                        fill.write(bytes(4096))
                    except OSError:
                        time.sleep(0.001)
            assert running.process.returncode == 0
            said = running.output().splitlines()
        assert len(said) == 2 and "No space left" in "".join(said) and "small_thread 5100 40800" in said
        os.unlink(disk / "fill")
        assert snapshots(disk) == []
        assert info(one(disk, "*.live"))["lost"]["live.tables_outside"] > 0
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_read_while_it_changes(tmp_path):
    """Never less than the program had counted before, never more than it has counted afterwards."""
    tally = tmp_path / "tally"
    with Running(tmp_path, [VICTIMS / "victim_churn", tally, 8], heap="full", cpu=999) as running:
        wait_until(lambda: tally.exists() and tally.stat().st_size and counts(tally) and snapshots(tmp_path, "*.live") and
                   analyze("info", one(tmp_path, "*.live"), check=False).returncode == 0, 20, "a readable file")
        path = one(tmp_path, "*.live")
        end, reads = time.monotonic() + 10, 0  # the program runs for 30 s
        while time.monotonic() < end and reads < 20:
            reads += 1
            before = sum(counts(tally).values())
            seen = by_function(path, "alloc-count")["churn_once"]
            after = sum(counts(tally).values())
            assert before - 8 <= seen <= after + 8
            heap = info(path)["heap"]
            assert 0 <= heap["live_count"] <= heap["alloc_count"] and 0 <= heap["live_bytes"] <= heap["alloc_bytes"]
        assert reads > 1 and running.process.poll() is None


@pytest.mark.parametrize("limit,value", [(resource.RLIMIT_FSIZE, 100 << 10), (resource.RLIMIT_AS, 64 << 20)])
def test_limits_do_not_hurt_the_program(tmp_path, limit, value):
    """Small thread stacks: with usual ones the program alone may not find room for its threads."""
    done = subprocess.run([VICTIMS / "victim_known"], env=environment(tmp_path, heap="full"), capture_output=True, text=True, timeout=30,
                          preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
                                              resource.setrlimit(limit, (value, value))))
    plain = subprocess.run([VICTIMS / "victim_known"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)


def test_altered_files_are_refused_or_read_never_a_crash(tmp_path):
    tally = tmp_path / "tally"
    with Running(tmp_path, [VICTIMS / "victim_churn", tally, 2], heap="full") as running:
        wait_until(lambda: tally.exists() and tally.stat().st_size and counts(tally) and
                   min(counts(tally).values()) > 50000, 20, "some work")
        time.sleep(1.2)
        kill_all(counts(tally))
        running.process.wait(10)
    whole = one(tmp_path, "*.live").read_bytes()
    rng = random.Random(5)
    bad = tmp_path / "bad.live"
    for i in range(60):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[:rng.randrange(len(data))]
        for _ in range(1 << rng.randrange(8)):
            if data:
                data[rng.randrange(min(len(data), 160 + 40 * 64) if i % 2 else len(data))] = rng.randrange(256)
        bad.write_bytes(data)
        done = analyze("info", "--json", bad, check=False)
        assert done.returncode in (0, 1), (i, done.returncode, done.stderr)
        if done.returncode:
            assert done.stderr.count("\n") == 1 and "bad.live" in done.stderr


# ---- requests, waits, database calls ------------------------------------------------------------------------------------

PYTHON = "/usr/bin/python3"
SERVER = """
import http.server, os, sqlite3, sys, threading, time
path = sys.argv[1]
with sqlite3.connect(path) as db:
    db.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)")
    db.execute("INSERT INTO users(name) VALUES ('x')")
SLOW = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) "
        "SELECT max(users.id + n.i) FROM users, n WHERE users.id = 1")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/query"):
            db = sqlite3.connect(path, isolation_level=None)
            db.execute(SLOW % self.headers["Rows"]).fetchall()
            db.close()
        if self.path.startswith("/wait"):
            time.sleep(float(self.headers["Seconds"]))
        if self.path == "/fork" and os.fork() == 0:
            while True: pass
        if self.path == "/fork":
            time.sleep(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass
kind = http.server.ThreadingHTTPServer if sys.argv[2] == "threads" else http.server.HTTPServer
server = kind(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def asked(port, path, answer=True, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close", **headers})
    if answer:
        assert connection.getresponse().read() == b"ok"
    return connection


def server_port(server):
    wait_until(lambda: server.output().startswith("port "), what="the server")
    return int(server.output().split()[1])


def story(path):
    """What is the same whenever it is asked, and the requests by path."""
    data = json.loads(analyze("requests", "--json", "--top", 1000, path).stdout)
    return {k: data[k] for k in ("count", "slow", "unanswered", "routes", "database")}, {r["path"]: r for r in data["slowest"]}


def test_killed_with_requests_under_way(tmp_path):
    """A profile is asked for; then the process is killed. Its live file tells the same of requests, waits and database calls, and of
    those that were under way only that they lasted longer."""
    with Running(tmp_path, [PYTHON, "-c", SERVER, tmp_path / "db", "threads"], latency="150ms") as server:
        port = server_port(server)
        for i in range(20):
            asked(port, f"/plain?{i}")
        asked(port, "/query/done", Rows="200000")
        asked(port, "/wait/done", Seconds="0.4")
        under_way = [asked(port, "/query/long", False, Rows="900000000"), asked(port, "/wait/long", False, Seconds="60")]
        time.sleep(0.8)
        subprocess.run([BUILD / "bin" / "perfprobe", "snapshot", str(server.process.pid)], check=True, timeout=20, capture_output=True)
        server.process.kill()
        server.process.wait(10)
        del under_way
    snapshot, live = one(tmp_path, "*.request.snap"), one(tmp_path, "*.live")
    (figures, requests), (live_figures, live_requests) = story(snapshot), story(live)
    assert live_figures == figures and figures["count"] == 22 and figures["database"]
    assert live_requests.keys() == requests.keys() == {"/plain", "/query/done", "/wait/done", "/query/long", "/wait/long"}
    for path in ("/query/done", "/wait/done"):
        assert live_requests[path] == requests[path]
    assert requests["/wait/done"]["off_cpu_samples"] > 10 and requests["/query/done"]["database"]["calls"] == 1
    for path in ("/query/long", "/wait/long"):
        then, now = requests[path], live_requests[path]
        assert not then["answered"] and not now["answered"]
        # Until the newest thing that the file knows, which may be a tenth of a second before the kill.
        assert then["start_ns"] == now["start_ns"] and 500 < then["duration_ms"] <= now["duration_ms"] + 150
    (span,) = live_requests["/query/long"]["database"]["spans"]
    assert span["unfinished"] and (span["operation"], span["table"]) == ("SELECT", "users") and span["duration_ms"] > 500
    assert live_requests["/query/long"]["cpu_samples"] >= requests["/query/long"]["cpu_samples"] > 10
    assert live_requests["/wait/long"]["off_cpu_samples"] >= requests["/wait/long"]["off_cpu_samples"] > 10
    waits, live_waits = inclusive(snapshot, "off-cpu"), inclusive(live, "off-cpu")
    assert waits[1] <= live_waits[1] and waits[0].keys() <= live_waits[0].keys()
    assert info(live)["off_cpu"]["threads"] == info(snapshot)["off_cpu"]["threads"] == "slow requests"
    assert info(live)["lost"]["live.torn"] == 0


def test_a_forked_child_has_what_is_open_and_no_more(tmp_path):
    """Both are killed: what was answered before is in the parent's file alone, what was not is in both."""
    with Running(tmp_path, [PYTHON, "-c", SERVER, tmp_path / "db", "one"]) as server:
        port = server_port(server)
        for _ in range(5):
            asked(port, "/plain")
        asked(port, "/query/done", Rows="1000")
        under_way = asked(port, "/fork", False)
        wait_until(lambda: len(snapshots(tmp_path, "*.live")) == 2 and
                   all(analyze("info", f, check=False).returncode == 0 for f in snapshots(tmp_path, "*.live")), what="both files")
        kill_all(info(f)["pid"] for f in snapshots(tmp_path, "*.live"))
        server.process.wait(10)
        del under_way
    files = {info(f)["pid"]: story(f) for f in snapshots(tmp_path, "*.live")}
    figures, requests = files.pop(server.process.pid)
    assert figures["count"] == 6 and requests.keys() == {"/plain", "/query/done", "/fork"}
    ((figures, requests),) = files.values()
    assert figures["count"] == 0 and figures["routes"] == [] and requests.keys() == {"/fork"}
    assert not requests["/fork"]["answered"] and requests["/fork"]["samples"] > 0
    assert all(row["count"] == 0 for row in figures["database"])

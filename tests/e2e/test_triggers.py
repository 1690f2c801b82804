"""Profiles that a program's memory calls for: PERFPROBE_MEMORY and PERFPROBE_GROWTH, with cooldown and what is kept."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from recording import BUILD, LIBRARY, Running, analyze, by_function, control_group, environment, info, snapshots, wait_until

MIB = 1 << 20
SERVER = [BUILD / "bin" / "sample_server", "--seconds", "100"]


def url_of(server):
    wait_until(lambda: "listening on" in server.output(), what="the server")
    return "http://" + re.search(r"listening on (\S+)", server.output())[1]


def grow(url, mib, check=True):
    """The cache keeps so much more, 64 KiB a request."""
    return subprocess.run([BUILD / "bin" / "probe-load", f"{url}/cache?bytes=65536", "-n", str(16 * mib), "-c", "2", "-t", "1", "--json"],
                          check=check, capture_output=True, timeout=60)


def test_above_a_limit(tmp_path):
    with Running(tmp_path, SERVER, memory="80M", cooldown="100s") as server:
        url = url_of(server)
        grow(url, 20)
        time.sleep(0.5)
        assert snapshots(tmp_path, "*.memory.snap") == []
        grow(url, 80)
        wait_until(lambda: snapshots(tmp_path, "*.memory.snap"), what="the profile")
        grow(url, 60)
        time.sleep(0.5)
        (snapshot,) = snapshots(tmp_path, "*.memory.snap")
    assert info(snapshot)["reason"] == "memory"
    live = by_function(snapshot, "live")
    assert 40 * MIB < live["cache_insert"] < 120 * MIB and max(live, key=live.get) == "cache_insert"


def test_the_worst_are_kept(tmp_path):
    """With the shortest of cooldowns; numbers go on, so one sees that there were more."""
    with Running(tmp_path, SERVER, memory="20M", cooldown="0", keep=2) as server:
        url = url_of(server)
        for _ in range(6):
            grow(url, 30)
            time.sleep(0.4)
        kept = [int(p.name.split(".")[2]) for p in snapshots(tmp_path, "*.memory.snap")]
        assert len(kept) == 2 and min(kept) >= 5, kept
        sizes = [info(p)["heap"]["live_bytes"] for p in snapshots(tmp_path, "*.memory.snap")]
        assert min(sizes) > 100 * MIB


def test_set_while_it_runs(tmp_path):
    with Running(tmp_path, SERVER) as server:
        url = url_of(server)
        grow(url, 40)
        assert snapshots(tmp_path) == []
        subprocess.run([BUILD / "bin" / "perfprobe", "set", str(server.process.pid), "MEMORY=30M"], check=True, timeout=20)
        wait_until(lambda: snapshots(tmp_path, "*.memory.snap"), what="the profile")
        bad = subprocess.run([BUILD / "bin" / "perfprobe", "set", str(server.process.pid), "MEMORY=101%"], capture_output=True, text=True, timeout=20)
        assert bad.returncode == 1 and "101%" in bad.stderr


def test_growth(tmp_path):
    """What the first ten seconds bring is no growth."""
    with Running(tmp_path, SERVER, growth="30M/min", cooldown="100s") as server:
        began = time.monotonic()
        url = url_of(server)
        grow(url, 60)
        time.sleep(11.5 - (time.monotonic() - began))
        assert snapshots(tmp_path) == []
        grow(url, 20)
        time.sleep(0.5)
        assert snapshots(tmp_path) == []
        grow(url, 20)
        wait_until(lambda: snapshots(tmp_path, "*.growth.snap"), what="the profile")
        (snapshot,) = snapshots(tmp_path)
    assert info(snapshot)["reason"] == "growth"


def test_a_share_of_no_limit_says_so(tmp_path):
    with Running(tmp_path, SERVER, memory="80%") as server:
        grow(url_of(server), 20)
        wait_until(lambda: "this process has none: not armed" in server.output(), what="the sentence")
        assert server.output().count("not armed") == 1
        assert snapshots(tmp_path) == []


def test_a_share_of_its_own_limit(tmp_path):
    """Of address space: its size, not what is used of it, may be near the limit, so a small share is asked for. Then it is killed."""
    limited = ["prlimit", f"--as={1 << 30}", "env", f"LD_PRELOAD={LIBRARY}", *SERVER]
    env = environment(tmp_path, memory="5%")
    del env["LD_PRELOAD"]
    server = subprocess.Popen([str(c) for c in limited], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        grow("http://" + re.search(r"listening on (\S+)", server.stdout.readline())[1], 70)
        wait_until(lambda: snapshots(tmp_path, "*.memory.snap"), what="the profile")
    finally:
        server.kill()
        server.wait(timeout=20)
        server.stdout.close()
    (live,) = snapshots(tmp_path, "*.live")
    found = by_function(live, "live")
    assert max(found, key=found.get) == "cache_insert" and json.loads(analyze("requests", "--json", live).stdout)["count"] == 16 * 70


def test_before_the_kernel_kills(tmp_path):
    """In a control group of 256 MB the cache grows until the server is killed: the profile was written before, and the live
    file, which nobody closed, tells the same, of memory and of requests."""
    answered = 0
    with control_group() as (group, limit, _):
        (group / limit).write_text(str(256 * MIB))
        with contextlib.suppress(OSError):  # no way out: version 1 and 2
            (group / "memory.memsw.limit_in_bytes").write_text(str(256 * MIB))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")
        env = environment(tmp_path, memory="60%")
        del env["LD_PRELOAD"]
        inside = 'echo $$ > "$0/cgroup.procs" && exec env LD_PRELOAD="$1" "$2" --seconds 100'
        server = subprocess.Popen(["sh", "-c", inside, str(group), str(LIBRARY), str(SERVER[0])], env=env,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = "http://" + re.search(r"listening on (\S+)", server.stdout.readline())[1]
            for _ in range(40):  # 70 MB/s at most: ten looks a second must be enough
                with contextlib.suppress(json.JSONDecodeError):  # nobody there any more
                    answered += json.loads(grow(url, 10, check=False).stdout)["status"].get("200", 0)
                time.sleep(0.15)
            assert server.wait(timeout=30) == -signal.SIGKILL
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group to be empty")
    (snapshot,) = snapshots(tmp_path, "*.memory.snap")
    (live,) = snapshots(tmp_path, "*.live")
    for path in (snapshot, live):
        found = by_function(path, "live")
        assert max(found, key=found.get) == "cache_insert" and found["cache_insert"] > 80 * MIB, (path, found)
    assert info(snapshot)["reason"] == "memory" and by_function(live, "live")["cache_insert"] > 150 * MIB
    before, after = (json.loads(analyze("requests", "--json", path).stdout) for path in (snapshot, live))
    routes = [[(r["method"], r["route"], r["status"]) for r in told["routes"]] for told in (before, after)]
    assert routes == [[("GET", "/cache", 200)]] * 2 and 0 < before["count"] < after["count"]
    # Of each of the client's two connections the last answer may be on one side only, and in one of the live file's tables only.
    counts = (after["count"], after["routes"][0]["count"], answered)
    assert max(counts) - min(counts) <= 2, counts
    assert {r["path"] for r in after["slowest"]} == {"/cache"} and info(live)["lost"]["live.torn"] <= 2


THRASH = """
import mmap, sys, time
with open(sys.argv[1], "wb") as f:
    f.write(bytes(160 << 20))
with open(sys.argv[1], "r+b") as f:
    pages = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
def read_all():
    for at in range(0, len(pages), 4096):
        pages[at]
end = time.monotonic() + 40
while time.monotonic() < end:
    read_all()
"""


def test_pressure(tmp_path):
    """Real pressure: a program that reads a file again and again that is larger than its control group, and waits for the pages that
    were taken from it a moment ago. The kernel tells of it in that group (version 2), or of all (version 1)."""
    if not pathlib.Path("/proc/pressure/memory").exists():
        pytest.skip("this kernel does not tell of pressure")
    with control_group() as (group, limit, _):
        (group / limit).write_text(str(64 * MIB))
        env = environment(tmp_path, pressure="2%", memory="off")
        del env["LD_PRELOAD"]
        inside = 'echo $$ > "$0/cgroup.procs" && exec env LD_PRELOAD="$1" /usr/bin/python3 -c "$2" "$3"'
        program = subprocess.Popen(["sh", "-c", inside, str(group), str(LIBRARY), THRASH, str(tmp_path / "file")], env=env)
        try:
            wait_until(lambda: snapshots(tmp_path, "*.memory.snap"), 30, "the profile")
        finally:
            program.kill()
            program.wait()
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group to be empty")
    text = analyze("info", snapshots(tmp_path, "*.memory.snap")[0]).stdout
    share = int(re.search(r"(\d+)% of ten seconds went into waiting for memory \(limit 2%\)", text)[1])
    assert 2 <= share < 100
    os.unlink(tmp_path / "file")

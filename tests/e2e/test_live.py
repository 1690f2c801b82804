"""The recording survives SIGKILL: the .live file of a killed process tells what it had recorded."""

import os
import random
import resource
import signal
import struct
import subprocess
import time

import pytest

from recording import ROOT, VICTIMS, Running, analyze, by_function, environment, inclusive, info, one, record, snapshots, usable_by_all, wait_until

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

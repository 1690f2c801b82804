"""What the library records of programs whose doings are known: exact totals, unbiased samples, CPU time, every end."""

import math
import os
import pwd
import signal
import stat
import subprocess

import pytest

from recording import (LIBRARY, VICTIMS, Running, analyze, by_function, check_known, environment, inclusive, info, one, record, report,
                       snapshots, usable_by_all, wait_until)

NOBODY = pwd.getpwnam("nobody").pw_uid


# ---- heap, full mode


def test_full_mode_is_exact(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_known"], heap="full")
    path = one(tmp_path)
    check_known(path, done.stdout)
    assert by_function(path, "temporary").get("temporaries") == 250


def test_full_mode_loses_nothing_and_tells_so(tmp_path):
    record(tmp_path, [VICTIMS / "victim_known"], heap="full", cpu=0)
    lost = info(one(tmp_path))["lost"]
    assert lost, "every cause is listed, with zero where nothing was lost"
    assert {k: v for k, v in lost.items() if v and k.startswith(("heap.", "stacks.", "unwind."))} == {}


def test_threads_are_named_and_told_apart(tmp_path):
    record(tmp_path, [VICTIMS / "victim_spin", "0.3", "3"], cpu=999, heap="off")
    path = one(tmp_path)
    threads = {s["thread"] for s in report(path, "cpu")["stacks"]}
    assert len(threads) == 3
    assert sum(t["name"] == "victim_spin" for t in info(path)["threads"]) >= 3


# ---- heap, sampled mode


@pytest.mark.parametrize("size,count,interval", [(100, 20000, 16384), (4000, 2000, 16384), (200000, 100, 65536)])
def test_sampled_mode_is_unbiased_and_as_precise_as_the_mathematics_says(tmp_path, size, count, interval):
    """20 seeds. For a stack of M bytes in blocks of s bytes the estimate's standard deviation is
    sqrt(count * s^2 (1 - p) / p) with p = 1 - exp(-(s + 1) / R), which for s << R is sqrt(R M)."""
    true = size * count
    p = -math.expm1(-(size + 1) / interval)
    sigma = math.sqrt(count * size * size * (1 - p) / p)
    if size * 10 < interval:
        assert sigma == pytest.approx(math.sqrt(interval * true), rel=0.1)
    estimates = []
    for seed in range(1, 21):
        record(tmp_path, [VICTIMS / "victim_sizes", size, count], heap="sampled", heap_interval=interval, cpu=0, seed=seed)
        path = one(tmp_path)
        live = by_function(path, "live")
        assert "freed_blocks" not in live
        estimates.append(live.get("live_blocks", 0))
        path.unlink()
    errors = [e - true for e in estimates]
    slack = count  # whole numbers in the report
    assert abs(sum(errors) / 20) < 3.3 * sigma / math.sqrt(20) + slack, "biased"
    spread = math.sqrt(sum(e * e for e in errors) / 20)
    assert spread < 1.6 * sigma + slack, "less precise than predicted"
    assert spread > 0.5 * sigma - slack, "too good to be sampled: is this full mode?"
    assert max(abs(e) for e in errors) < 4.5 * sigma + slack


def test_sampled_counts_are_estimates_of_blocks(tmp_path):
    record(tmp_path, [VICTIMS / "victim_sizes", 100, 100000], heap="sampled", heap_interval=4096, cpu=0, seed=3)
    blocks = by_function(one(tmp_path), "live-count")["live_blocks"]
    assert blocks == pytest.approx(100000, rel=0.1)


# ---- CPU


@pytest.mark.parametrize("hz", [99, 999])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_samples_are_cpu_seconds_times_rate(tmp_path, hz, threads, user):
    if os.getuid() != 0 and user == "root":
        pytest.skip("needs root")
    directory = usable_by_all(tmp_path)
    uid = NOBODY if os.getuid() == 0 and user == "nobody" else None
    done = record(directory, [VICTIMS / "victim_spin", 3 if hz == 99 else 1, threads], cpu=hz, heap="off", user=uid)
    path = one(directory)
    seconds = float(done.stdout)
    data = info(path)
    assert data["cpu"]["hz"] == hz
    assert data["engine"]["cpu"] == ("perf_event" if user == "root" else "timer")
    assert data["cpu"]["samples"] == pytest.approx(seconds * hz, rel=0.03, abs=1.5 * threads)
    functions, total = inclusive(path, "cpu")
    assert total == data["cpu"]["samples"]
    assert functions["spin_thread"] > 0.97 * total
    assert functions["spin_most"] / functions["spin_some"] == pytest.approx(2, rel=0.15 if hz == 999 and user == "root" else 0.45)


@pytest.mark.parametrize("engine", ["cfi", "libunwind"])
def test_unwind_engines_see_the_same_stacks(tmp_path, engine):
    record(tmp_path, [VICTIMS / "victim_known"], heap="full", cpu=0, unwind=engine)
    path = one(tmp_path)
    assert info(path)["engine"]["unwind"] == engine
    stacks = [s["frames"] for s in report(path, "alloc-count")["stacks"]]
    assert ["realloc_chain", "main"] == next(f for f in stacks if f[0] == "realloc_chain")[:2]
    assert all(f[-1] in ("_start", "clone3", "__clone3") for f in stacks if f[0] in ("realloc_chain", "from_malloc", "made_in_thread"))


# ---- ends


@pytest.mark.parametrize("how,status", [("return", 3), ("exit", 4), ("_exit", 4), ("_Exit", 4), ("quick_exit", 4),
                                        ("thread_exit", 5), ("main_pthread_exit", 5), ("last_thread", 0), ("exec", 6),
                                        ("exec_fails", 3)])
def test_every_end_writes_a_profile_and_keeps_the_status(tmp_path, how, status):
    done = record(tmp_path, [VICTIMS / "victim_ends", how], check=False, heap="full", cpu=0, timeout=20)
    assert done.returncode == status
    assert done.stderr == ""
    files = snapshots(tmp_path)
    assert len(files) == (2 if how == "exec_fails" else 1), files
    for path in files:
        assert path.name.endswith(".exit.snap")
        assert by_function(path, "live")["allocate_ten"] == 1000


@pytest.mark.parametrize("how,sig,status,files", [
    ("default", signal.SIGTERM, -signal.SIGTERM, 1),
    ("default", signal.SIGINT, -signal.SIGINT, 1),
    ("reset", signal.SIGTERM, -signal.SIGTERM, 1),
    ("handler", signal.SIGTERM, 7, 1),
    ("ignore", signal.SIGTERM, 8, 1),
    ("default", signal.SIGKILL, -signal.SIGKILL, 0),
])
def test_signals_end_the_program_as_without_us(tmp_path, how, sig, status, files):
    with Running(tmp_path, [VICTIMS / "victim_ends", how], heap="full") as running:
        wait_until(lambda: "ready" in running.output(), what="ready")
        running.process.send_signal(sig)
        assert running.process.wait(20) == status
    found = snapshots(tmp_path)
    assert len(found) == files
    for path in found:
        assert by_function(path, "live")["allocate_ten"] == 1000
    assert "perfprobe" not in running.output()


def test_the_program_may_use_sigprof(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_ends", "sigprof"], check=False)
    assert (done.returncode, done.stdout) == (7, "handled\n")


def test_fork_gives_each_process_its_own_profile(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_forks", 4], heap="full", cpu=999)
    children = done.stdout.split()
    assert len(children) == 4
    files = snapshots(tmp_path)
    assert len(files) == 5
    for i, pid in enumerate(children):
        path = one(tmp_path, f"*.{pid}.*.snap")
        assert by_function(path, "alloc")["child_work"] == 1000 * (i + 1)
        assert info(path)["pid"] == int(pid)
        functions, total = inclusive(path, "cpu")
        assert functions["child_work"] > 0.9 * total > 50
        assert "parent_work" not in by_function(path, "alloc")
    parent = next(f for f in files if not any(f".{pid}." in f.name for pid in children))
    allocated = by_function(parent, "alloc")
    assert allocated["parent_work"] == 5000
    assert "child_work" not in allocated


@pytest.mark.parametrize("live", ["on", "off"])
def test_a_child_inherits_what_was_live_at_the_fork(tmp_path, live):
    """To the block, although other threads allocate during the fork: one that was being made may be on either side."""
    done = record(tmp_path, [VICTIMS / "victim_inherit", 5], heap="full", live=live)
    children = dict(line.split() for line in done.stdout.splitlines())
    assert len(children) == 5
    for pid, blocks in children.items():
        path = one(tmp_path, f"*.{pid}.*.snap")
        live_count, live_bytes = by_function(path, "live-count"), by_function(path, "live")
        assert 0 <= live_count["kept"] - int(blocks) <= 4, (pid, live_count["kept"], blocks)
        assert live_bytes["kept"] == live_count["kept"] * 1000
        assert (live_count["own"], live_bytes["own"]) == (7, 350)
        assert info(path)["heap"]["peak_bytes"] >= live_bytes["kept"] + live_bytes["own"]
    parent = next(f for f in snapshots(tmp_path) if f.name.split(".")[1] not in children)
    assert "own" not in by_function(parent, "alloc-count")


def test_follow_none_leaves_children_alone(tmp_path):
    record(tmp_path, [VICTIMS / "victim_forks", 3], heap="full", follow="none")
    assert len(snapshots(tmp_path)) == 1


@pytest.mark.parametrize("follow,names", [("fork", {"sh"}), ("exec", {"sh", "victim_sizes"}), ("both", {"sh", "victim_sizes"})])
def test_exec_is_followed_as_asked(tmp_path, follow, names):
    victim = VICTIMS / "victim_sizes"
    done = record(tmp_path, ["/bin/sh", "-c", f"{victim} 10 10; echo \"[$LD_PRELOAD]\""], follow=follow, heap="full")
    seen = {f.name.split(".")[0] for f in snapshots(tmp_path)}
    assert seen == names
    assert done.stdout == ("[]\n" if follow == "fork" else f"[{LIBRARY}]\n")


def test_interval_snapshots(tmp_path):
    record(tmp_path, [VICTIMS / "victim_spin", 1], every="200ms", heap="off")
    reasons = [f.name.split(".")[-2] for f in snapshots(tmp_path)]
    assert reasons[-1] == "exit"
    last = info(snapshots(tmp_path)[-1])
    due = (last["end_ns"] - last["start_ns"]) / 200e6
    assert due - 2 <= reasons.count("interval") <= due
    assert reasons.count("interval") >= 3
    samples = [info(f)["cpu"]["samples"] for f in snapshots(tmp_path)]
    assert samples == sorted(samples), "a later profile holds all that an earlier one held"


# ---- when things go wrong


def test_a_wrong_value_is_told_once_and_the_default_kept(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_ends", "exec_fails"], check=False, heap="fulll", cpu="-3", hepa="full")
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("perfprobe: ") for line in lines)
    for word in ("PERFPROBE_HEAP=", "PERFPROBE_CPU=", "PERFPROBE_HEPA"):
        assert sum(word in line for line in lines) == 1
    assert info(snapshots(tmp_path)[0])["engine"]["heap"] == "sampled"


def test_unwritable_directory_falls_back(tmp_path):
    if os.getuid() != 0:
        pytest.skip("changes user")
    directory = usable_by_all(tmp_path)
    locked = directory / "locked"
    locked.mkdir(mode=0o755)
    fallback = f"/tmp/perfprobe-{NOBODY}"
    before = set(snapshots(fallback))
    done = record(locked, [VICTIMS / "victim_ends"], check=False, user=NOBODY)
    new = set(snapshots(fallback)) - before
    try:
        assert done.returncode == 3
        assert done.stderr == f"perfprobe: cannot write to {locked} (Permission denied): profiles go to {fallback}\n"
        assert len(new) == 1 and snapshots(locked) == []
        assert stat.S_IMODE(os.stat(fallback).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(new.pop()).st_mode) == 0o600
    finally:
        for path in set(snapshots(fallback)) - before:
            path.unlink()


def test_missing_directory_is_made_for_the_user_alone(tmp_path):
    record(tmp_path / "new", [VICTIMS / "victim_known"])
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o700
    one(tmp_path / "new")


def test_full_disk_loses_only_the_profile(tmp_path):
    if os.getuid() != 0:
        pytest.skip("mounts a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=True)
    try:
        (disk / "ballast").write_bytes(b"x" * 16384)
        done = record(disk, [VICTIMS / "victim_known"], heap="full")
        assert done.stderr.splitlines() == [
            f"perfprobe: no live file in {disk} (No space left on device): a recording that is killed is lost",
            f"perfprobe: no profile was written to {disk}: No space left on device"]
        assert [f.name for f in disk.iterdir()] == ["ballast"], "nothing half-written stays"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_never_through_a_link(tmp_path):
    """The fallback is in a directory that everybody may write: a link or a foreign directory there is not used."""
    if os.getuid() != 0:
        pytest.skip("changes user")
    uid = 4242
    target = usable_by_all(tmp_path) / "target"
    target.mkdir()
    os.chmod(target, 0o777)
    link = f"/tmp/perfprobe-{uid}"
    os.symlink(target, link)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o755)
    try:
        done = record(locked, [VICTIMS / "victim_ends"], check=False, user=uid)
        assert done.returncode == 3
        assert list(target.iterdir()) == []
        assert "no profile was written" in done.stderr
    finally:
        os.unlink(link)


def test_a_closed_stderr_and_closed_files_do_not_matter(tmp_path):
    command = f"exec 2>&- 1>&- 0<&-; exec {VICTIMS / 'victim_spin'} 0.2"
    done = subprocess.run(["/bin/sh", "-c", command], env=environment(tmp_path, follow="exec", heap="bad"), timeout=20)
    assert done.returncode == 0
    assert inclusive(one(tmp_path, "victim_spin*"), "cpu")[1] > 10


def test_errors_of_the_analyzer_are_one_sentence(tmp_path):
    record(tmp_path, [VICTIMS / "victim_known"])
    path = one(tmp_path)
    whole = path.read_bytes()
    cases = {"missing.snap": None, "empty.snap": b"", "cut.snap": whole[:-1], "long.snap": whole + b"x",
             "altered.snap": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]}
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        done = analyze("report", tmp_path / name, check=False)
        assert done.returncode == 1 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1 and name in done.stderr
    assert analyze("report", "--no-such-option", path, check=False).returncode == 2

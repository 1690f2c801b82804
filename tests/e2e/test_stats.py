"""Lifetimes, slop, largest block and threads of heap stacks: exact where they can be, within their band else, live file too."""

import json
import math
import pathlib
import signal
import subprocess
import time

import pytest

from recording import VICTIMS, Running, analyze, by_function, environment, info, one, record, report, snapshots, wait_until

pytestmark = pytest.mark.untimed

VICTIM = VICTIMS / "victim_lives"


def expectations(done):
    return {name: [int(n) for n in numbers] for name, *numbers in (line.split() for line in done.stdout.splitlines())}


def stack_of(path, function, metric="alloc"):
    found = [s for s in report(path, metric)["stacks"] if s["frames"][0] == function]
    assert len(found) == 1, function
    return found[0]


def by_thread(path, metric="alloc", *more):
    return json.loads(analyze("report", "--json", "--by", "thread", "--metric", metric, *more, path).stdout)


def freed(stack):
    return sum(r["count"] for r in stack["lifetimes"])


def lived_between(stack, low_ns, high_ns):
    return sum(r["count"] for r in stack["lifetimes"] if r["from_ns"] >= low_ns and (r["below_ns"] or math.inf) <= high_ns)


# ---- full mode


@pytest.mark.parametrize("detail", [1, 64])
def test_small_stacks_are_exact(tmp_path, detail):
    done = record(tmp_path, [VICTIM, "blocks"], heap="full", cpu=0, detail=detail)
    path = one(tmp_path)
    expected = expectations(done)
    assert len(expected) == 5
    slop = by_function(path, "slop")
    for name, (allocated, gone, largest, wasted) in expected.items():
        stacks = [s for s in report(path, "alloc")["stacks"] if name in s["frames"]]
        assert sum(s["count"] for s in stacks) == allocated, name
        assert sum(freed(s) for s in stacks) == gone, name
        assert max(s["largest_bytes"] for s in stacks) == largest, name
        assert sum(s["slop_bytes"] for s in stacks) == slop.get(name, 0) == wasted, name
    assert info(path)["heap"]["largest_bytes"] == 20000
    assert info(path)["heap"]["detail_one_in"] == detail
    assert info(path)["heap"]["slop_bytes"] == sum(slop.values()) >= sum(e[3] for e in expected.values())


@pytest.mark.parametrize("allocator", ["libjemalloc.so.2", "libtcmalloc.so.4", "libmimalloc.so.2"])
def test_slop_is_the_allocators_own(tmp_path, allocator):
    found = list(pathlib.Path("/usr/lib").glob(f"*/{allocator}"))
    if not found:
        pytest.skip("not installed")
    env = environment(tmp_path, heap="full", cpu=0)
    env["LD_PRELOAD"] += f" {found[0]}"
    done = subprocess.run([VICTIM, "blocks"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    slop = by_function(one(tmp_path), "slop")
    expected = {name: numbers[3] for name, numbers in expectations(done).items()}
    assert {name: slop.get(name, 0) for name in expected} == expected
    plain = subprocess.run([VICTIM, "blocks"], capture_output=True, text=True, timeout=30)
    assert expected["odd_sizes"] != expectations(plain)["odd_sizes"][3], "another allocator's blocks"


def test_lifetimes_are_those_of_the_clock(tmp_path):
    record(tmp_path, [VICTIM, "blocks"], heap="full", cpu=0)
    path = one(tmp_path)
    assert lived_between(stack_of(path, "at_once"), 0, 4096) >= 90  # now and then one is interrupted
    assert lived_between(stack_of(path, "after_60_ms"), 4 ** 7 * 1024, math.inf) == 40  # 16.8 ms and more; 60 ms and a busy machine
    text = analyze("report", "--metric", "alloc", path).stdout
    assert "freed ones lived less than" in text and "largest 19.5 KiB" in text


def test_detail_one_is_exact_for_large_stacks(tmp_path):
    done = record(tmp_path, [VICTIM, "many", 50000], heap="full", cpu=0, detail=1)
    path = one(tmp_path)
    allocated, gone, largest, slop, live = expectations(done)["many_blocks"]
    stack = stack_of(path, "many_blocks")
    assert (stack["count"], freed(stack), stack["largest_bytes"], stack["slop_bytes"]) == (allocated, gone, largest, slop)
    assert by_thread(path, "live")["total"] == info(path)["heap"]["live_bytes"]
    assert by_function(path, "live")["many_blocks"] == live


def test_estimates_of_large_stacks_are_in_their_band(tmp_path):
    """Beyond 256 one in 64 counts for 64: sigma = 64 sqrt(n p (1 - p)) blocks. What is exact stays exact."""
    errors = {"freed": [], "slop": [], "live": []}
    for seed in range(1, 9):
        done = record(tmp_path, [VICTIM, "many", 200000], heap="full", cpu=0, seed=seed)
        path = one(tmp_path)
        allocated, gone, largest, slop, live = expectations(done)["many_blocks"]
        stack = stack_of(path, "many_blocks")
        assert (stack["count"], stack["largest_bytes"]) == (allocated, largest)
        assert by_function(path, "live")["many_blocks"] == live
        rest = info(path)["heap"]["live_bytes"] - live  # stdio's buffer: exact
        errors["freed"].append((freed(stack) - gone) / (64 * math.sqrt(gone / 64)))
        errors["slop"].append((stack["slop_bytes"] - slop) / (8 * 64 * math.sqrt((allocated - gone) / 64)))
        errors["live"].append((by_thread(path, "live")["total"] - rest - live) / (46 * 64 * math.sqrt((allocated - gone) / 64)))
        path.unlink()
    for name, list_of_errors in errors.items():
        assert max(abs(e) for e in list_of_errors) < 4.5, (name, list_of_errors)
        assert abs(sum(list_of_errors)) / 8 < 3.3 / math.sqrt(8), (name, list_of_errors)
        assert len(set(list_of_errors)) > 1, "it is drawn"


def test_detail_off_says_so(tmp_path):
    record(tmp_path, [VICTIM, "blocks"], heap="full", cpu=0, detail=0)
    path = one(tmp_path)
    stack = stack_of(path, "at_once")
    assert stack["largest_bytes"] == 1000 and "lifetimes" not in stack and "slop_bytes" not in stack
    for arguments in (["--metric", "slop"], ["--metric", "live", "--by", "thread"]):
        done = analyze("report", *arguments, path, check=False)
        assert done.returncode == 1 and "PERFPROBE_DETAIL" in done.stderr and done.stderr.count("\n") == 1
    assert "slop" not in analyze("report", "--metric", "alloc", path).stdout


# ---- threads


def test_who_allocated_and_whose_is_alive(tmp_path):
    record(tmp_path, [VICTIM, "threads"], heap="full", cpu=0)
    path = one(tmp_path)
    data = by_thread(path)
    rows = {r["name"]: r for r in data["threads"]}
    for i in range(3):
        row = rows[f"maker-{i}"]
        assert (row["alloc_count"], row["alloc_bytes"]) == ((i + 1) * 100, (i + 1) * 6400)
        assert row["ended"] == (i != 2)
        if i != 2:  # 256 of its 300 are certain
            assert (row["live_count"], row["live_bytes"]) == ((i + 1) * 100 - 50, ((i + 1) * 100 - 50) * 64), "whoever freed"
    assert data["total"] == info(path)["heap"]["alloc_bytes"]
    assert data["threads"][0]["name"] == "maker-2"
    threads = {t["name"]: t for t in info(path)["threads"]}
    assert threads["maker-1"]["live_bytes"] == 150 * 64
    assert "maker-1" in analyze("report", "--by", "thread", "--metric", "live", path).stdout


def test_every_block_of_a_thread(tmp_path):
    record(tmp_path, [VICTIM, "threads"], heap="full", cpu=0, detail=1)
    rows = {r["name"]: r for r in by_thread(one(tmp_path), "live")["threads"]}
    assert [rows[f"maker-{i}"]["value"] for i in range(3)] == [50 * 64, 150 * 64, 250 * 64]
    assert by_thread(one(tmp_path), "live")["total"] == info(one(tmp_path))["heap"]["live_bytes"]


def test_short_threads_of_a_name_are_one_row(tmp_path):
    """More threads than there are records: the profile stays small, and nothing is lost from the sums."""
    record(tmp_path, [VICTIM, "short", 6000], heap="full", cpu=0)
    path = one(tmp_path)
    data = by_thread(path)
    assert data["total"] == info(path)["heap"]["alloc_bytes"]
    assert len(data["threads"]) <= 4
    rows = {r["name"]: r for r in data["threads"] if r["ended"]}
    assert set(rows) == {"even", "odd", "victim_lives"}
    assert rows["even"]["threads"] + rows["odd"]["threads"] > 3900
    # Those beyond the records are counted by the name that they began with.
    assert sum(r["alloc_count"] for r in rows.values()) == 6000
    live = by_thread(path, "live")
    assert sum(r["live_bytes"] for r in live["threads"]) == info(path)["heap"]["live_bytes"]
    assert info(path)["lost"]["threads.folded"] > 1900
    assert path.stat().st_size < 200000


def test_wrong_use_is_said(tmp_path):
    record(tmp_path, [VICTIM, "threads"], heap="full", cpu=0)
    path = one(tmp_path)
    for arguments in (["--by", "moon"], ["--by", "thread", "--metric", "peak"]):
        done = analyze("report", *arguments, path, check=False)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


# ---- sampled mode


def test_sampled_mode_is_unbiased(tmp_path):
    """Each sample is followed. Blocks of about 44.5 bytes, one in 4096 bytes sampled: sigma of a sum of M bytes is sqrt(R M)."""
    interval, errors = 4096, {"freed": [], "live": [], "slop": []}
    for seed in range(1, 13):
        done = record(tmp_path, [VICTIM, "many", 200000], heap="sampled", heap_interval=interval, cpu=0, seed=seed)
        path = one(tmp_path)
        allocated, gone, largest, slop, live = expectations(done)["many_blocks"]
        stack = stack_of(path, "many_blocks")
        gone_bytes = gone * 44.5
        assert stack["largest_bytes"] <= largest
        errors["freed"].append((freed(stack) - gone) / (math.sqrt(interval * gone_bytes) / 44.5 * 1.2))
        errors["slop"].append((stack["slop_bytes"] - slop) / (math.sqrt(interval * live) / 44.5 * 9))
        # By thread it is the same sum, from the same samples.
        assert by_thread(path, "live")["total"] == pytest.approx(info(path)["heap"]["live_bytes"], abs=allocated / 100)
        errors["live"].append((by_thread(path, "live")["total"] - live) / math.sqrt(interval * live))
        path.unlink()
    for name, list_of_errors in errors.items():
        assert max(abs(e) for e in list_of_errors) < 4.5, (name, list_of_errors)
        assert abs(sum(list_of_errors)) / 12 < 3.3 / math.sqrt(12), (name, list_of_errors)


# ---- processes


def test_a_killed_process_told_it_too(tmp_path):
    with Running(tmp_path, [VICTIM, "churn"], heap="full", cpu=0, detail=1) as running:
        wait_until(lambda: "ready" in running.output(), 20, "some work")
        wait_until(lambda: snapshots(tmp_path, "*.live") and len(info(one(tmp_path, "*.live"))["threads"]) >= 5, 20, "the threads")
        time.sleep(1.2)  # names of threads are in the frame, which is written once a second
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(10)
    path = one(tmp_path, "*.live")
    rows = {r["name"]: r for r in by_thread(path, "live")["threads"]}
    assert [rows[f"maker-{i}"]["value"] for i in range(2)] == [50 * 64, 150 * 64]
    assert [rows[f"maker-{i}"]["alloc_count"] for i in range(3)] == [100, 200, 300]
    churn = stack_of(path, "churn")
    assert churn["count"] > 1000 and abs(freed(churn) - (churn["count"] - 16)) <= 2
    assert churn["largest_bytes"] == 199
    assert lived_between(churn, 4 ** 4 * 1024, math.inf) > 0.9 * freed(churn)  # a millisecond, and 16 rounds are one
    assert by_thread(path)["total"] == pytest.approx(info(path)["heap"]["alloc_bytes"], abs=400)
    assert 0 < churn["slop_bytes"] < 16 * 24


def test_a_forked_child_owes_what_it_has_to_before(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_forks", 2], heap="full", cpu=0, detail=1)
    files = snapshots(tmp_path)
    assert len(files) == 3
    for path in files:
        for metric, key in (("alloc", "alloc_bytes"), ("live", "live_bytes")):
            data = by_thread(path, metric)
            # The two threads that do not live on in a child may have been between two counts.
            assert data["total"] == pytest.approx(info(path)["heap"][key], abs=128), (path.name, metric)
    for pid in done.stdout.split():
        child = by_thread(one(tmp_path, f"*.{pid}.*.snap"), "live")["threads"]
        assert {r["name"] for r in child} <= {"(before fork)", "victim_forks"} and len(child) >= 1

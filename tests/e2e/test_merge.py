"""Many profiles to one: of real programs, by all metrics; what must not count twice, what cannot be read, and how much memory it takes."""

import collections
import json
import os
import shutil
import subprocess

import pytest

import recording

pytestmark = pytest.mark.untimed

METRICS = ("cpu", "live", "alloc", "alloc-count", "peak", "slop")  # test_merge.c compares every table
PROGRAM = "import json\nkept = [json.dumps({str(k): [k] * 9 for k in range(60)}) for i in range(3000)]\n"
MAKE = recording.BUILD / "bin" / "make_snapshot"


def sums(path, metric):
    """{stack: value}; time in nanoseconds, since rates may differ."""
    report = recording.report(path, metric)
    by = collections.Counter()
    for stack in report["stacks"]:
        by[tuple(stack["frames"])] += stack["value"] * (report["period_ns"] or 1)
    return by


def merge(*args):
    return json.loads(recording.analyze("merge", "--json", *args).stdout)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """Two processes of one program, with snapshots at an interval, and another program in full mode at another rate."""
    directory = tmp_path_factory.mktemp("profiles")
    recording.need("/usr/bin/python3", "jq")
    for _ in range(2):
        recording.record(directory, ["/usr/bin/python3", "-c", PROGRAM], every="100ms", heap_interval="16k")
    recording.record(directory, ["jq", "-n", "[range(20000)]|map(tostring)|length"], heap="full", cpu=250, detail=1)
    assert len(recording.snapshots(directory, "*.interval.snap")) > 1
    return directory


def test_sums_are_those_of_the_parts(profiles, tmp_path):
    whole = tmp_path / "whole.snap"
    told = merge(profiles, "-o", whole)
    parts = recording.snapshots(profiles, "*.exit.snap")
    assert (told["recordings"], told["unreadable"]) == (3, 0) and told["files"] == told["recordings"] + told["earlier"]
    for metric in METRICS:
        want = collections.Counter()
        for part in parts:
            want.update(sums(part, metric))
        got = sums(whole, metric)
        assert set(got) == set(want), metric
        for stack, value in want.items():
            # Counts of sampled blocks are estimates with fractions, and each report rounds its own.
            assert abs(got[stack] - value) <= (len(parts) if metric.endswith("count") or metric == "temporary" else 0), (metric, stack)
    infos = [recording.info(part) for part in parts]
    info = recording.info(whole)
    for name in info["lost"]:
        assert info["lost"][name] == sum(part["lost"].get(name, 0) for part in infos), name
    assert info["cpu"]["process_cpu_ns"] == sum(part["cpu"]["process_cpu_ns"] for part in infos)
    assert told["options_that_differ"]["HEAP"] in ("sampled | full", "full | sampled") and "EVERY" in told["options_that_differ"]
    assert {m["build_id"] for m in info["modules"]} == {m["build_id"] for part in infos for m in part["modules"]}
    # It is a snapshot like any other, also to merge itself.
    again = tmp_path / "again.snap"
    assert merge(whole, "-o", again)["recordings"] == 1
    assert sums(again, "alloc") == sums(whole, "alloc")
    for command in (["requests"], ["flamegraph"], ["diff", parts[0]]):
        recording.analyze(*command, whole)


def test_results_and_damage_in_a_directory_are_told(profiles, tmp_path):
    directory = tmp_path / "profiles"
    shutil.copytree(profiles, directory)
    whole = directory / "whole.snap"
    first = merge(directory, "-o", whole)
    damaged = recording.snapshots(directory, "jq.*")[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (directory / "empty.live").write_bytes(b"")
    shutil.copy(whole, directory / "other.snap")
    second = merge(directory, "-o", whole)  # over the first result, which is no part of it
    assert (first["merged_already"], second["merged_already"], second["unreadable"], second["recordings"]) == (0, 1, 2, 2)
    assert "jq." in second["first_unreadable"] or "empty.live" in second["first_unreadable"]
    assert recording.info(whole)["lost"]["merge.snapshots"] == 2
    text = recording.analyze("merge", directory, "-o", whole).stdout
    assert text.startswith("lost: ") and "2 merge.snapshots" in text.splitlines()[0] and "earlier snapshots" in text
    # What is named must be readable; nothing is written otherwise.
    none = tmp_path / "none.snap"
    for arguments, status, words in (([damaged], 1, "truncated"), ([tmp_path / "nowhere"], 1, "cannot open"), ([whole, "--json"], 2, "-o FILE"),
                                     (["-"], 2, "standard input"), ([], 2, "needs a snapshot")):
        done = recording.analyze("merge", *arguments, *([] if "--json" in map(str, arguments) else ["-o", none]), check=False)
        assert (done.returncode, done.stdout) == (status, "") and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not none.exists()
    done = recording.analyze("merge", whole, "-o", whole, check=False)
    assert done.returncode == 1 and "to be read and to be written" in done.stderr
    assert recording.info(whole)["reason"] == "merge"


def test_memory_does_not_grow_with_the_directory(tmp_path):
    """Processes that have nearly all in common, as those of a service do, in directories of 4 and of 128."""
    directory, most = tmp_path / "many", {}
    directory.mkdir()
    stacks = [f"401000;{0x402000 + 16 * i:x};{0x403000 + 16 * i:x}" for i in range(500)]
    lines = [f"cpu 0 {s} 3\ntime 1 {s} {2_000_000_000 + i} 1\nheap {s} 5 500 1 100 4 400 0\n" for i, s in enumerate(stacks)]
    for n in range(128):
        own = f"cpu 1 401000;{0x408000 + n:x} 1\n"
        subprocess.run([MAKE, directory / f"{n}.snap"], input="".join([f"pid {n + 1}\n", own, *lines]).encode(), check=True)
        if n + 1 in (4, 128):
            with subprocess.Popen([recording.ANALYZE, "merge", directory, "-o", tmp_path / f"of_{n + 1}.snap"], stdout=subprocess.DEVNULL) as merging:
                _, status, usage = os.wait4(merging.pid, 0)
                merging.returncode = os.waitstatus_to_exitcode(status)
            assert merging.returncode == 0
            most[n + 1] = usage.ru_maxrss
            assert sum(sums(tmp_path / f"of_{n + 1}.snap", "alloc").values()) == (n + 1) * 250_000
    # The window's samples gather up to a limit, of which these are a quarter, at 32 bytes each.
    assert most[128] < most[4] + 6 * 1024, most

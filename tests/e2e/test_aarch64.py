"""The library of the preset aarch64 under qemu-user, its profiles read by this machine's analyzer.

PERFPROBE_AARCH64_BUILD names that preset's build directory (default: build/aarch64); without it there is nothing to test."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from recording import ROOT, analyze, by_function, check_known, inclusive, info, one, report

BUILD = pathlib.Path(os.environ.get("PERFPROBE_AARCH64_BUILD", ROOT / "build" / "aarch64")).resolve()
SYSROOT = ROOT / "build" / "sysroot-aarch64"
QEMU = shutil.which("qemu-aarch64")

pytestmark = [pytest.mark.untimed, pytest.mark.skipif(not QEMU or not (BUILD / "lib" / "libperfprobe.so").exists(),
                                reason="the preset aarch64 is not built, or there is no qemu-aarch64")]


def emulated(command, timeout=120, **environment):
    arguments = [QEMU, "-L", str(SYSROOT)]
    for name, value in environment.items():
        arguments += ["-E", f"{name}={value}"]
    done = subprocess.run([*arguments, *map(str, command)], timeout=timeout, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def record(directory, victim, *arguments, **options):
    named = {"PERFPROBE_" + name.upper(): value for name, value in options.items()}
    return emulated([BUILD / "victims" / victim, *arguments], LD_PRELOAD=BUILD / "lib" / "libperfprobe.so",
                    PERFPROBE_DIR=directory, **named)


def test_full_mode_is_exact(tmp_path):
    done = record(tmp_path, "victim_known", heap="full", cpu=0)
    path = one(tmp_path)
    check_known(path, done.stdout)
    assert {k: v for k, v in info(path)["lost"].items() if v} == {}


def test_stacks_reach_the_start_of_the_program_and_of_each_thread(tmp_path):
    record(tmp_path, "victim_known", heap="full", cpu=0)
    frames = {}
    for stack in report(one(tmp_path), "alloc")["stacks"]:
        frames.setdefault(stack["frames"][0], stack["frames"])
    for name in ("from_malloc", "from_calloc", "realloc_chain", "temporaries"):
        assert frames[name][1] == "main" and frames[name][-2:] == ["__libc_start_main", "_start"], frames[name]
    # start_thread and clone of a stripped libc
    in_thread = frames["made_in_thread"]
    assert len(in_thread) == 3 and all(f.startswith("libc.so.6+") for f in in_thread[1:]), in_thread


@pytest.mark.parametrize("engine,inner", [("libunwind", ["from_malloc", "main"]), ("fp", ["from_malloc"])])
def test_the_other_engines(tmp_path, engine, inner):
    """The victims have no frame pointers, but libc has: by these main is left out."""
    record(tmp_path, "victim_known", heap="full", cpu=0, unwind=engine)
    path = one(tmp_path)
    (frames,) = [s["frames"] for s in report(path, "alloc")["stacks"] if s["frames"][0] == "from_malloc"]
    assert frames[:len(inner)] == inner and frames[-2:] == ["__libc_start_main", "_start"]
    assert len(frames) < 6 and info(path)["lost"]["unwind.truncated"] == 0


def test_mappings_of_the_program(tmp_path):
    done = record(tmp_path, "victim_mapped", heap="full", cpu=0, mmap="on")
    sums, _ = inclusive(one(tmp_path), "mmap")
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    for name, _, size in map(str.split, lines):
        assert sums.get(name, 0) == int(size), name


def test_cpu_samples_by_timer_where_there_is_no_perf(tmp_path):
    record(tmp_path, "victim_spin", "1", "2", cpu=499, heap="off")
    path = one(tmp_path)
    about = info(path)
    assert about["engine"]["cpu"] == "timer" and "perf" in about["engine"]["cpu_why"]
    sums, total = inclusive(path, "cpu")
    expected = about["cpu"]["process_cpu_ns"] / about["cpu"]["period_ns"]
    assert 0.6 * expected < total < 1.05 * expected # the rest is the emulator's own
    assert sums["spin_thread"] > 0.95 * total
    assert 2 / 3 - 0.07 < sums["spin_most"] / (sums["spin_most"] + sums["spin_some"]) < 2 / 3 + 0.07


def test_a_deep_stack_keeps_its_root(tmp_path):
    record(tmp_path, "victim_unwinding", "deep", "1000", heap="full", cpu=0)
    (stack,) = [s for s in report(one(tmp_path), "alloc")["stacks"] if s["frames"][0] == "allocate_here"]
    assert len(stack["frames"]) == 256 and stack["frames"][-1] == "_start"
    assert stack["frames"].count("down") == 256 - 6


def test_code_that_is_replaced(tmp_path):
    plugins = [BUILD / "victims" / f"libplugin_{size}.so" for size in ("small", "large")]
    record(tmp_path, "victim_unwinding", "reload", *plugins, "60", heap="full", cpu=0)
    path = one(tmp_path)
    assert not info(path)["lost"].get("unwind.truncated")
    sums, total = inclusive(path, "alloc-count")
    assert sums["plugin_call"] == 600


def test_forked_children(tmp_path):
    # cpu=0: in a child with threads and timers qemu-user 7.2 ends by itself (cpu_exec: cpu == current_cpu), without the
    # library as well
    record(tmp_path, "victim_forks", heap="full", cpu=0)
    assert len(list(tmp_path.glob("*.snap"))) > 1
    assert not list(tmp_path.glob("*.live"))


def test_every_product_runs(tmp_path):
    record(tmp_path, "victim_known", heap="full", cpu=0)
    path = one(tmp_path)
    there = emulated([BUILD / "bin" / "probe-analyze", "report", "--json", "--metric", "live", path]).stdout
    assert json.loads(there) == json.loads(analyze("report", "--json", "--metric", "live", path).stdout)
    assert "probe-load" in emulated([BUILD / "bin" / "probe-load", "--help"]).stdout
    assert "perfprobe" in emulated([BUILD / "bin" / "perfprobe", "--help"]).stdout

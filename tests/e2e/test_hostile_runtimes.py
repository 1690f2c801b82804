"""Programs of languages with a runtime of their own: they work as without the library, and their profiles name what is hot."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from recording import ROOT, Running, analyze, by_function, inclusive, info, one, report, snapshots, wait_until
from test_hostile import FULL, check_profile, limit, plain, run, same_as_without

pytestmark = pytest.mark.untimed

SOURCES = ROOT / "tests" / "victims"


def build(where, *command):
    """GOCACHE: the build must not depend on a home directory."""
    done = subprocess.run([str(c) for c in command], cwd=where, env={**plain(), "GOCACHE": str(where / "go-cache")},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    where = tmp_path_factory.mktemp("runtimes")
    for tool in ("go", "rustc"):
        assert shutil.which(tool), f"not installed: {tool} (scripts/setup test)"
    build(where, "go", "build", "-o", "go_host", SOURCES / "go_host.go")
    build(where, "go", "build", "-buildmode=c-shared", "-o", "go_library.so", SOURCES / "go_library.go")
    build(where, "env", "CGO_ENABLED=0", "go", "build", "-buildmode=pie", "-o", "go_pure", SOURCES / "go_pure.go")
    build(where, "rustc", "-O", "-g", "--crate-type=cdylib", "-o", "rust_library.so", SOURCES / "rust_library.rs")
    build(where, "gcc", "-O2", "-g", "-fno-builtin-malloc", "-pthread", "-o", "library_caller", SOURCES / "library_caller.c")
    return where


def cpu_share(path, function):
    """Of the samples with the function on their stack."""
    functions, total = inclusive(path, "cpu")
    return functions.get(function, 0) / total


def works_the_same(directory, command, **options):
    done, _ = same_as_without(directory, command, timeout=90, **options)
    assert done.returncode == 0, done.stderr


# ---- Go


def go_profile(programs, file):
    """Its own profiler's samples, by the innermost function, in milliseconds."""
    done = subprocess.run(["go", "tool", "pprof", "-raw", str(programs / "go_host"), str(file)], capture_output=True, text=True,
                          timeout=60, env={**plain(), "GOCACHE": str(programs / "go-cache"), "PPROF_TMPDIR": str(programs)})
    assert done.returncode == 0, done.stderr
    rows, names, part = [], {}, ""
    for line in done.stdout.splitlines():
        words = line.split()
        if line in ("Samples:", "Locations", "Mappings"):
            part = line
        elif part == "Samples:" and ":" in line and words[0].isdigit():
            rows.append((int(words[1].rstrip(":")) / 1e6, line.split(":")[1].split()[0]))
        elif part == "Locations" and line[:1].isspace() and len(words) > 2 and words[0].endswith(":"):
            names[words[0].rstrip(":")] = next((w for w in words[2:] if not w.startswith("M=")), "")
    sums = {}
    for ms, location in rows:
        sums[names[location]] = sums.get(names[location], 0) + ms
    return sums


def test_a_go_program(tmp_path, programs):
    """It ends past libc, so its recording stays as a live file."""
    for turn in range(2):
        directory = tmp_path / str(turn)
        directory.mkdir()
        works_the_same(directory, [programs / "go_host", "work"])
        path = one(directory, "go_host.*.live")
        assert "past libc as Go's exit" in analyze("info", path).stdout
        data = info(path)
        assert data["cpu"]["samples"] > 100
        assert cpu_share(path, "main.goHot") > 0.3
        assert cpu_share(path, "c_hot") > 0.03
        live = by_function(path, "live-count")
        assert live["c_keeps"] == 1000
        assert by_function(path, "alloc-count")["c_keeps"] == 1000 + 8 * 20


def test_go_with_its_own_profiler(tmp_path, programs):
    """Both are driven by SIGPROF, and each takes its own."""
    expected, got = tmp_path / "without.pprof", tmp_path / "with.pprof"
    assert run([programs / "go_host", "profile", expected], plain(), timeout=60).returncode == 0
    directory = tmp_path / "profiles"
    directory.mkdir()
    with Running(directory, [programs / "go_host", "profile", got], **FULL) as running:
        assert running.process.wait(60) == 0, running.output()
    ours = one(directory, "go_host.*.live")
    theirs = go_profile(programs, got)
    used_ms = info(ours)["cpu"]["samples"] / FULL["cpu"] * 1000
    assert 0.5 * used_ms < sum(theirs.values()) < 1.5 * used_ms, "as many of its samples as the time it used"
    assert theirs["main.goHot"] > 0.3 * sum(theirs.values())
    assert go_profile(programs, expected)["main.goHot"] > 0
    assert cpu_share(ours, "main.goHot") > 0.3


def test_go_that_does_not_begin_in_libc(tmp_path, programs):
    _, profiles = same_as_without(tmp_path, [programs / "go_pure"], stderr="perfprobe: passive: the program does not begin in libc .*\n")
    assert profiles == [] and not list(tmp_path.glob("*.live"))


def test_a_go_library_in_a_c_program(tmp_path, programs):
    for turn in range(2):
        directory = tmp_path / str(turn)
        directory.mkdir()
        works_the_same(directory, [programs / "library_caller", programs / "go_library.so", 10])
        path = one(directory)
        assert cpu_share(path, "main.libraryHot") > 0.4
        assert cpu_share(path, "caller_hot") > 0.05
        assert by_function(path, "live-count")["caller_keeps"] == 4 * 10 * 5


def test_a_signal_that_ends_go_in_a_c_program(tmp_path, programs):
    for turn in range(4):
        directory = tmp_path / str(turn)
        directory.mkdir()
        with Running(directory, [programs / "library_caller", programs / "go_library.so", "100000"], **FULL) as running:
            wait_until(lambda d=directory: list(d.glob("*.live")), what="the live file")
            time.sleep(0.3 + 0.05 * turn)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == -signal.SIGTERM, running.output()
            assert running.output() == ""
        check_profile(one(directory))
        assert cpu_share(one(directory), "main.libraryHot") > 0.4


# ---- Rust


def test_a_rust_library_in_a_c_program(tmp_path, programs):
    works_the_same(tmp_path, [programs / "library_caller", programs / "rust_library.so", 10])
    path = one(tmp_path)
    assert cpu_share(path, "rust_library::library_hot") > 0.2  # 0.28 once, on a loaded machine
    assert cpu_share(path, "caller_hot") > 0.05
    assert by_function(path, "live-count")["caller_keeps"] == 4 * 10 * 5
    assert any("rust_library::unwinds" in s["frames"] for s in report(path, "alloc-count")["stacks"])


# ---- Python


@pytest.mark.parametrize("follow", ["fork", "both"])
def test_python_with_threads_and_processes(tmp_path, follow):
    command = ["/usr/bin/python3", SOURCES / "python_host.py"]
    works_the_same(tmp_path, command, follow=follow, preexec=limit((1024, 4096)))
    files = snapshots(tmp_path, "python3*.snap")
    parents = [f for f in files if info(f)["ppid"] == os.getpid()]
    assert len(parents) == 1
    children = [f for f in files if f != parents[0]]
    assert len(children) >= (3 if follow == "fork" else 7), [f.name for f in files]
    assert cpu_share(parents[0], "_PyEval_EvalFrameDefault") > 0.3
    for path in files:
        check_profile(path)

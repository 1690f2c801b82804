"""Misuse of the heap: what is reported, with which stacks, and that right programs are never accused."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from recording import VICTIMS, Running, analyze, environment, info, one, record, snapshots, wait_until

VICTIM = VICTIMS / "victim_misuse"
ABORTED = -6

pytestmark = [pytest.mark.untimed, pytest.mark.skipif(not VICTIM.exists(), reason="no C++ compiler")]


def misuse(path):
    return info(path)["misuse"]


def innermost(row, key):
    return row[key][0].split("(")[0] if row[key] else None


def run(directory, *arguments, **options):
    done = record(directory, [VICTIM, *arguments], check=False, cpu=0, **options)
    return done, one(directory)


MISMATCHES = {
    ("malloc", "delete", "make_malloc", "by_delete"),
    ("new", "free", "make_new", "by_free"),
    ("new", "delete[]", "make_new", "by_delete_array"),
    ("new[]", "delete", "make_array", "by_delete"),
    ("aligned new", "free", "make_aligned", "by_free"),
    ("malloc", "aligned delete", "make_malloc", "by_delete_aligned"),
    ("new", "realloc", "make_new", "by_realloc"),
}


@pytest.mark.parametrize("times", [1, 50])
def test_every_wrong_pair_once_and_counted(tmp_path, times):
    done, path = run(tmp_path, "mismatch", times, heap="full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    rows = misuse(path)
    assert all(row["kind"] == "mismatch" and row["count"] == times for row in rows)
    seen = {(r["allocated_by"], r["freed_by"], innermost(r, "allocated"), innermost(r, "freed")) for r in rows}
    assert seen == MISMATCHES and len(rows) == len(MISMATCHES)
    assert {row["bytes"] for row in rows} == set(range(100, 107))
    for row in rows:
        assert "main" in row["allocated"] and "main" in row["freed"]


def test_rows_survive_sigkill(tmp_path):
    with Running(tmp_path, [VICTIM, "mismatch", 3, "stay"], heap="full", cpu=0) as running:
        wait_until(lambda: "done" in running.output() and analyze("info", one(tmp_path, "*.live"), check=False).returncode == 0,
                   what="its end and its description")
        assert {row["count"] for row in misuse(one(tmp_path, "*.live"))} == {3}  # while it runs, too
        running.stop(signal.SIGKILL)
    rows = misuse(one(tmp_path, "*.live"))
    assert {(r["allocated_by"], r["freed_by"], innermost(r, "allocated"), innermost(r, "freed")) for r in rows} == MISMATCHES
    assert {(row["kind"], row["count"]) for row in rows} == {("mismatch", 3)}
    assert {row["bytes"] for row in rows} == set(range(100, 107))


def test_wrong_pairs_of_sampled_blocks(tmp_path):
    _, path = run(tmp_path, "mismatch", 2000, heap="sampled", heap_interval=512, seed=7)
    rows = misuse(path)
    assert {(r["allocated_by"], r["freed_by"]) for r in rows} == {m[:2] for m in MISMATCHES}
    assert all(0 < row["count"] < 2000 for row in rows)


@pytest.mark.parametrize("heap", ["full", "sampled"])
def test_right_uses_are_not_reported(tmp_path, heap):
    done, path = run(tmp_path, "right", 100, heap=heap, heap_interval=64, verbose=0)
    assert (done.returncode, done.stderr) == (0, "")
    assert misuse(path) == []
    assert info(path)["lost"]["heap.nested"] == 0
    assert "misuse of the heap" not in analyze("info", path).stdout
    assert "misuse: " not in analyze("leaks", path).stdout


@pytest.mark.parametrize("how,make,first,second,by", [
    ("double", "make_malloc", "by_free", "free_again", "free"),
    ("double-delete", "make_new", "by_delete", "delete_again", "delete"),
    ("double-across", "make_malloc", "by_free", "free_again", "free"),
])
@pytest.mark.parametrize("whole", ["off", "on"])
def test_double_free_names_all_three_places(tmp_path, how, make, first, second, by, whole):
    done, path = run(tmp_path, how, heap="full", free_stacks=whole)
    assert done.returncode == ABORTED, "libc ends the process as without us"
    assert "perfprobe" not in done.stderr
    row, = misuse(path)
    assert (row["kind"], row["freed_by"], row["count"]) == ("double-free", by, 1)
    assert [innermost(row, k) for k in ("allocated", "first_freed", "freed")] == [make, first, second]
    assert "main" in row["freed"] and "main" in row["allocated"]
    if whole == "on":
        assert row["first_freed"][-1] in ("_start", "clone3", "__clone3")
        assert ("free_there" in row["first_freed"][1]) == (how == "double-across")
    else:
        assert row["first_freed"][1:] == ["[truncated]"]


@pytest.mark.parametrize("which", ["stack", "static", "inside", "unmapped"])
def test_free_of_what_is_no_block(tmp_path, which):
    done, path = run(tmp_path, which, heap="full")
    assert done.returncode == (0 if which == "unmapped" else ABORTED)
    row, = misuse(path)
    assert (row["kind"], row["no_block"], row["freed_by"]) == ("no-block", which, "free")
    assert innermost(row, "freed") == "free_again"
    assert innermost(row, "allocated") == ("make_malloc" if which == "inside" else None)


def test_the_programs_own_handler_of_the_abort_runs(tmp_path):
    done, path = run(tmp_path, "double-caught", heap="full")
    assert done.returncode == 0
    assert len(misuse(path)) == 1


def test_said_once_where_asked_for(tmp_path):
    done, _ = run(tmp_path, "mismatch", 30, heap="full", verbose=1)
    lines = [line for line in done.stderr.splitlines() if "perfprobe: misuse" in line]
    assert len(lines) == len(MISMATCHES)
    assert all(line.startswith("perfprobe: misuse: 0x") for line in lines)


def test_text_shows_both_stacks_first(tmp_path):
    _, path = run(tmp_path, "mismatch", 3, heap="full")
    text = analyze("info", path).stdout
    assert text.index("allocated by new, freed by delete[]") < text.index("recorded for")
    assert text.count("freed by the wrong function, 3 times") == len(MISMATCHES)
    for command in (["leaks"], ["report", "--metric", "alloc"]):
        assert analyze(*command, path).stdout.startswith("misuse: freed by the wrong function 21 times")


def test_a_static_libstdcxx_explains_itself(tmp_path):
    """operator new in the program, delete in a library: both libstdc++'s, though only one of them is seen."""
    source = {"lib.cc": 'void drop(int *p) { delete p; }',
              "main.cc": '#include <cstdlib>\nvoid drop(int *);\nint main() { for (int i = 0; i < 5; i++) drop(new int); }'}
    for name, text in source.items():
        (tmp_path / name).write_text(text)
    cxx = ["g++", "-O0", "-g"]
    subprocess.run([*cxx, "-shared", "-fPIC", "lib.cc", "-o", "libdrop.so"], cwd=tmp_path, check=True)
    subprocess.run([*cxx, "main.cc", "-static-libstdc++", "-Wl,--exclude-libs,ALL", "-L.", "-ldrop", "-Wl,-rpath," + str(tmp_path), "-o", "main"],
                   cwd=tmp_path, check=True)
    record(tmp_path, [tmp_path / "main"], heap="full", cpu=0)
    assert misuse(one(tmp_path)) == []


REPLACED = r"""
#include <cstdlib>
#include <cstdio>
#include <new>
static char pool[1 << 16]; static size_t used;
void *operator new(size_t n) { void *p = pool + used; used += (n + 15) & ~15ul; return p; }
void operator delete(void *p) noexcept { if ((char *)p < pool || (char *)p >= pool + sizeof(pool)) abort(); }
void operator delete(void *p, size_t) noexcept { operator delete(p); }
int main() { for (int i = 0; i < 50; i++) { delete new int; delete[] new int[4]; } std::puts("own"); }
"""


def test_operators_of_the_program_itself_are_left_alone(tmp_path):
    (tmp_path / "own.cc").write_text(REPLACED)
    subprocess.run(["g++", "-O1", "-std=c++17", "own.cc", "-o", "own"], cwd=tmp_path, check=True)
    done = record(tmp_path, [tmp_path / "own"], heap="full", cpu=0)
    assert done.stdout == "own\n"
    assert misuse(one(tmp_path)) == []


PLUGIN = r"""
#include <string>
#include <vector>
extern "C" int work() { std::vector<std::string> v(1000, std::string(50, 'x')); try { throw std::string("y"); } catch (std::string &) {} return (int)v.size(); }
"""
HOST = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) { void *h = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL); int (*work)(void) = (int (*)(void))dlsym(h, "work"); printf("%d\n", work() + work()); return 0; }
"""


def test_cxx_that_comes_with_a_plugin(tmp_path):
    """A C program: the operators are not there when the hooks look for the next ones."""
    (tmp_path / "plugin.cc").write_text(PLUGIN)
    (tmp_path / "host.c").write_text(HOST)
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", "plugin.cc", "-o", "plugin.so"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-O1", "host.c", "-o", "host"], cwd=tmp_path, check=True)
    done = record(tmp_path, [tmp_path / "host", tmp_path / "plugin.so"], heap="full", cpu=0)
    assert done.stdout == "2000\n"
    assert misuse(one(tmp_path)) == []


@pytest.mark.parametrize("command", [
    ["python3", "-c", "import ssl, sqlite3, ctypes, subprocess; subprocess.run(['true']); x = [str(i) for i in range(50000)]"],
    ["git", "log", "--oneline", "-20"],
    ["jq", "-n", "[range(20000) | {a: ., b: tostring}] | length"],
    ["node", "-e", "let a = []; for (let i = 0; i < 1e5; i++) a.push({i}); console.log(a.length)"],
    ["openssl", "version", "-a"],
    ["sqlite3", ":memory:", "create table a(b); insert into a values(1); select * from a"],
])
def test_right_programs_are_never_accused(tmp_path, command):
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}")
    done = subprocess.run(command, env=environment(tmp_path, heap="full", cpu=0, follow="both"), capture_output=True,
                          text=True, timeout=120, cwd=os.path.dirname(__file__))
    assert done.returncode == 0, done.stderr
    assert snapshots(tmp_path)
    for path in snapshots(tmp_path):
        assert misuse(path) == [], json.dumps(misuse(path), indent=1)

"""Other allocators: jemalloc, tcmalloc and mimalloc, linked or preloaded, before us or after; what they add to malloc's functions;
a malloc of the program's own. Counts are exact in full mode."""
import os
import pathlib
import re
import subprocess

import pytest

from recording import LIBRARY, VICTIMS, analyze, environment, inclusive, info, one, report

FULL = {"heap": "full", "cpu": 0}
PATHS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
# what the allocator does for itself around the calls of the program
METRICS = ("alloc-count", "alloc", "live-count", "live")


def library(name):
    for directory in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        path = pathlib.Path(directory, PATHS[name])
        if path.exists():
            return path
    pytest.skip(f"no {PATHS[name]}")


def run(directory, command, preload, **options):
    env = environment(directory, **{**FULL, **options})
    env["LD_PRELOAD"] = ":".join(map(str, preload))
    return subprocess.run([str(c) for c in command], env=env, timeout=60, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def arrangement(name, victim, linked, first):
    """The program and what is preloaded: the allocator linked or not, looked up before us or after."""
    other = library(name)
    program = VICTIMS / (f"{victim}_{name}" if linked else victim)
    if linked and first:
        return program, [LIBRARY]  # the program's libraries come after the preloaded
    return program, [LIBRARY, other] if first else [other, LIBRARY]


def compare(path, lines, leave_out=()):
    figures = {m: inclusive(path, m)[0] for m in METRICS}
    for name, *expected in lines:
        if name not in leave_out:
            assert [figures[m].get(name, 0) for m in METRICS] == [int(e) for e in expected], name


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_counts_are_exact_in_every_arrangement(tmp_path, name, linked, first):
    program, preload = arrangement(name, "victim_known", linked, first)
    done = run(tmp_path, [program, "portable"], preload)
    assert (done.returncode, done.stderr) == (0, "")
    path = one(tmp_path)
    data = info(path)
    assert data["lost"]["heap.own_allocator"] == data["lost"]["heap.unseen_calls"] == 0
    assert data["lost"]["heap.missed_free"] == 0 and data["misuse"] == []
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 9
    compare(path, lines, leave_out=["shrunk_to_nothing"])  # realloc(p, 0) is each allocator's own business


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_sizes_are_asked_only_of_the_allocator_that_made_the_block(tmp_path, name, first):
    program, preload = arrangement(name, "victim_known", False, first)
    done = run(tmp_path, [program, "portable"], preload, detail=1)
    assert (done.returncode, done.stderr) == (0, "")
    path = one(tmp_path)
    slop, live = (report(path, m)["total"] for m in ("slop", "live"))
    # before us it is not the one that we stand in front of; and none gives twice of what blocks of these sizes ask for
    assert 0 < slop < live if first else slop == 0


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_extended_functions(tmp_path, name, linked, first):
    program, preload = arrangement(name, "victim_allocators", linked, first)
    done = run(tmp_path, [program], preload)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    present = {"jemalloc": "mallocx", "tcmalloc": "tc_malloc", "mimalloc": "mi_malloc"}
    assert [l for l in lines if len(l) == 2] == [[n, "present" if present[name] == n else "absent"] for n in present.values()]
    path = one(tmp_path)
    data = info(path)
    assert data["misuse"] == [] and data["lost"]["heap.missed_free"] == data["lost"]["heap.unseen_calls"] == 0
    counted = [l for l in lines if len(l) == 5]
    assert len(counted) == 3
    compare(path, counted, leave_out=["by_xallocx"])
    for metric, expected in [("alloc-count", 20), ("live-count", 10)] if name == "jemalloc" else []:
        assert inclusive(path, metric)[0]["by_xallocx"] == expected


def test_a_program_without_them_sees_none(tmp_path):
    done = run(tmp_path, [VICTIMS / "victim_allocators"], [LIBRARY])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "mallocx absent\ntc_malloc absent\nmi_malloc absent\n"
    assert info(one(tmp_path))["engine"]["heap"] == "full"


LATER = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
__attribute__((constructor)) static void at_load(void) { free(malloc(1)); }
void *plugin_keeps(void) { return malloc(777); }
char *plugin_copies(const char *text) { return strdup(text); }
"""
LOADS_LATER = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	for (int flags = 0; flags < 2; flags++) {
		void *plugin = dlopen(argv[1], flags ? RTLD_NOW : RTLD_LAZY);
		void *(*keeps)(void) = (void *(*)(void))dlsym(plugin, "plugin_keeps");
		char *(*copies)(const char *) = (char *(*)(const char *))dlsym(plugin, "plugin_copies");
		void *(*by_dlsym)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
		free(keeps());
		keeps();
		free(copies("x"));
		by_dlsym(55);
	}
	return 0;
}
"""


def build(tmp_path, name, text, *options, compiler="gcc"):
    source = tmp_path / f"{name}.c"
    source.write_text(text)
    subprocess.run([compiler, "-O1", "-g", "-fno-builtin", str(source), *options, "-o", str(tmp_path / name)], check=True, timeout=60)
    return tmp_path / name


@pytest.mark.parametrize("how", ["-Wl,-z,lazy", "-Wl,-z,now", "-no-pie"])
@pytest.mark.parametrize("name", PATHS)
def test_what_is_loaded_later_is_followed(tmp_path, name, how):
    plugin = build(tmp_path, "plugin.so", LATER, "-shared", "-fPIC")
    program = build(tmp_path, "loads_later", LOADS_LATER, how)
    done = run(tmp_path, [program, plugin], [library(name), LIBRARY])
    assert (done.returncode, done.stderr) == (0, "")
    path = one(tmp_path)
    counts = {m: inclusive(path, m)[0] for m in METRICS}
    assert [counts[m]["plugin_keeps"] for m in METRICS] == [4, 4 * 777, 2, 2 * 777]
    assert counts["alloc-count"]["plugin_copies"] == 2 and "plugin_copies" not in counts["live-count"]
    assert counts["alloc-count"]["at_load"] == 1 and "at_load" not in counts["live-count"]  # loaded once
    assert counts["live"]["main"] >= 2 * 777 + 2 * 55
    assert info(path)["misuse"] == []


CXX = r"""
#include <new>
#include <vector>
#include <string>
#include <cstdio>
struct alignas(128) wide { char c[128]; };
template <class T> T *used(T *p) { asm volatile("" : "+r"(p) : : "memory"); return p; }
__attribute__((noinline)) void makes() { delete[] used(new int[10]); used(new int[10]); }
__attribute__((noinline)) void wide_ones() { delete used(new wide); used(new wide); }
__attribute__((noinline)) void strings() { std::vector<std::string> v; for (int i = 0; i < 100; i++) v.push_back(std::string(100, 'x')); used(&v); }
__attribute__((noinline)) void throws() { try { volatile size_t n = (size_t)1 << 62; used(new char[n]); } catch (const std::bad_alloc &) { return; } puts("no exception"); }
int main(int argc, char **) { makes(); wide_ones(); strings(); if (argc == 1) throws(); delete used(new int); return 0; }
"""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_operators_of_cxx(tmp_path, name, first):
    other = library(name)
    source = tmp_path / "cxx.cc"
    source.write_text(CXX)
    subprocess.run(["g++", "-O1", "-g", "-std=c++17", str(source), "-o", str(tmp_path / "cxx")], check=True, timeout=60)
    command = [tmp_path / "cxx"] + ["no_throw"] * (name == "mimalloc")  # it ends the program where there is no memory
    done = run(tmp_path, command, [LIBRARY, other] if first else [other, LIBRARY])
    assert done.returncode == 0 and done.stdout == "" and "perfprobe" not in done.stderr
    path = one(tmp_path)
    counts = {m: inclusive(path, m)[0] for m in METRICS}
    assert [counts[m]["makes()"] for m in METRICS] == [2, 80, 1, 40]
    assert [counts[m]["wide_ones()"] for m in METRICS] == [2, 256, 1, 128]
    assert counts["alloc-count"]["strings()"] >= 100 and "strings()" not in counts["live-count"]
    assert info(path)["misuse"] == []


REPLACED = r"""
#include <cstdlib>
#include <new>
void *operator new(std::size_t n) { return std::malloc(n + 16); }
int main() { for (int i = 0; i < 5; i++) { int *p = new int; asm volatile("" : "+r"(p)); delete p; } return 0; }
"""


def test_a_program_that_replaces_some_operators_is_right(tmp_path):
    """Its own new calls malloc, libstdc++'s delete calls free: that is no mismatch."""
    (tmp_path / "replaced.cc").write_text(REPLACED)
    subprocess.run(["g++", "-O1", str(tmp_path / "replaced.cc"), "-o", str(tmp_path / "replaced")], check=True, timeout=60)
    done = run(tmp_path, [tmp_path / "replaced"], [LIBRARY])
    assert (done.returncode, done.stderr) == (0, "")
    path = one(tmp_path)
    assert info(path)["misuse"] == [] and inclusive(path, "alloc-count")[0]["main"] == 5 and "main" not in inclusive(path, "live")[0]


def test_redirection_can_be_turned_off(tmp_path):
    other = library("jemalloc")
    done = run(tmp_path, [VICTIMS / "victim_known", "portable"], [other, LIBRARY], redirect="off")
    assert done.returncode == 0
    assert re.fullmatch("perfprobe: the program's malloc is another library's.*is not recorded\n", done.stderr)
    path = one(tmp_path)
    assert info(path)["lost"]["heap.own_allocator"] == 1
    assert analyze("report", "--metric", "alloc-count", path).returncode == 0 and inclusive(path, "alloc-count")[1] == 0


# A malloc of the program's own, from static memory, that libraries use too.
OWN = r"""
#include <stddef.h>
#include <stdio.h>
#include <string.h>
static char memory[1 << 22];
static size_t used;
static int foreign;
void *malloc(size_t n) { size_t *p = (size_t *)(memory + used); used += (n + 31) & ~(size_t)15; if (used > sizeof memory) return 0; *p = n; return p + 2; }
void free(void *p) { if (p && ((char *)p < memory || (char *)p >= memory + sizeof memory)) foreign++; }
void *calloc(size_t a, size_t b) { return malloc(a * b); }
void *realloc(void *p, size_t n) { void *q = malloc(n); if (p && q) { free(p); size_t had = ((size_t *)p)[-2]; memcpy(q, p, had < n ? had : n); } return q; }
extern void *reallocarray(void *, size_t, size_t);
int main(void)
{
	char *p = malloc(10);
	strcpy(p, "kept");
	p = reallocarray(p, 100, 10);
	free(strdup(p));
	free(p);
	printf("%s %d\n", p, foreign);
	return 3;
}
"""


def test_a_malloc_of_the_programs_own_is_told_once_and_unharmed(tmp_path):
    program = build(tmp_path, "own", OWN)
    done = run(tmp_path, [program], [LIBRARY])
    assert (done.returncode, done.stdout) == (3, "kept 0\n")
    assert re.fullmatch("perfprobe: the program's malloc is its own, linked in: its heap is not recorded\n", done.stderr)
    path = one(tmp_path)
    assert info(path)["lost"]["heap.own_allocator"] == 1 and info(path)["misuse"] == []
    assert inclusive(path, "alloc-count")[1] == 0


# A library in front that takes small blocks itself and hands on the rest, to our malloc, which it looks up only then.
WRAPPER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static char memory[1 << 20];
static size_t used;
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
void *malloc(size_t n)
{
	if (n <= LIMIT && used + n + 16 <= sizeof memory) { void *p = memory + used; used += (n + 15) & ~(size_t)15; return p; }
	if (!next_malloc) next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return next_malloc(n);
}
void free(void *p)
{
	if ((char *)p >= memory && (char *)p < memory + sizeof memory) return;
	if (!next_free) next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_free(p);
}
"""
USES = r"""
#include <stdlib.h>
__attribute__((noinline)) void *small(void) { return malloc(10); }
__attribute__((noinline)) void *large(void) { return malloc(1000); }
int main(void) { for (int i = 0; i < 20; i++) { void *p = small(), *q = large(); if (i % 2) { free(p); free(q); } } return 0; }
"""


@pytest.mark.parametrize("limit", [0, 100])
def test_a_library_in_front_that_hands_on(tmp_path, limit):
    wrapper = build(tmp_path, "wrapper.so", WRAPPER, "-shared", "-fPIC", f"-DLIMIT={limit}")
    program = build(tmp_path, "uses", USES)
    done = run(tmp_path, [program], [wrapper, LIBRARY])
    assert (done.returncode, done.stderr) == (0, "")
    path = one(tmp_path)
    counts = {m: inclusive(path, m)[0] for m in METRICS}
    for name, size in (("small", 10), ("large", 1000)):
        assert [counts[m][name] for m in METRICS] == [20, 20 * size, 10, 10 * size], name
    assert info(path)["misuse"] == []


def test_threads_and_sampling_with_another_malloc_in_front(tmp_path):
    done = run(tmp_path, [VICTIMS / "victim_churn", tmp_path / "tally", 4], [library("jemalloc"), LIBRARY], heap="sampled", heap_interval="4k", cpu=99)
    assert done.returncode == 0 and done.stderr == ""
    assert info(one(tmp_path))["lost"]["heap.table_full"] == 0


def test_loaded_with_its_own_names(tmp_path):
    """RTLD_DEEPBIND: a plugin that looks its malloc up in libc first keeps doing so, as without us."""
    plugin = build(tmp_path, "plugin.so", LATER, "-shared", "-fPIC")
    text = LOADS_LATER.replace("RTLD_NOW", "RTLD_NOW | RTLD_DEEPBIND").replace("free(keeps());", "keeps();").replace(
        "free(copies(\"x\"));", "copies(\"x\");").replace("flags = 0", "flags = 1")
    program = build(tmp_path, "loads_later", "#define _GNU_SOURCE\n" + text)
    done = run(tmp_path, [program, plugin], [library("jemalloc"), LIBRARY])
    assert (done.returncode, done.stderr) == (0, "")
    assert os.path.exists(one(tmp_path))

"""Other allocators: jemalloc, tcmalloc and mimalloc, linked or preloaded, before us or after; what they add to malloc's functions;
a malloc of the program's own. Counts are exact in full mode."""
import os
import pathlib
import re
import shutil
import struct
import subprocess

import pytest

from recording import LIBRARY, VICTIMS, analyze, environment, inclusive, info, one, report, usable_by_all

pytestmark = pytest.mark.untimed

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


# ---- linked in, and not exported


# What the program asks of its allocator, and what of malloc beside it; every block is printed, so that none is left out.
USER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern void *MAKE(size_t);
extern void DROP(void *);
__attribute__((noinline)) void *inside(void) { char *p = MAKE(1000); memset(p, 1, 1000); return p; }
__attribute__((noinline)) void *beside(void) { char *p = malloc(50); memset(p, 2, 50); return p; }
int main(int argc, char **argv)
{
	int sum = 0, fd = dup(0);
	for (int i = 0; i < 20; i++) {
		char *p = inside(), *q = beside();
		sum += p[999] + q[49];
		if (i % 2) { DROP(p); free(q); }
	}
	fflush(stdout);
	if (argc > 1) {
		pid_t child = fork();
		if (child == 0) { beside(); exit(0); }
		waitpid(child, NULL, 0);
	}
	printf("%d %d\n", sum, fd);
	return 3;
}
"""
ALONE = USER.replace("malloc(50)", "MAKE(50)").replace("free(q)", "DROP(q)")
OURS = ("-Wl,--exclude-libs,ALL", "-Wl,--version-script,local.map")
EXTRA = {"jemalloc": ["-lstdc++", "-lm"], "tcmalloc_minimal": ["-lstdc++", "-lm"]}


def archive(name):
    found = subprocess.run(["gcc", f"-print-file-name=lib{name}.a"], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(found):
        pytest.skip(f"no lib{name}.a")
    return found


def prefixed(tmp_path, prefix):
    """jemalloc as it is built with --with-jemalloc-prefix: its own functions under other names."""
    names = subprocess.run(["nm", "-g", "--defined-only", archive("jemalloc_pic")], capture_output=True, text=True, check=True)
    public = {line.split()[2] for line in names.stdout.splitlines() if len(line.split()) == 3}
    public = {n for n in public if not n.startswith(("je_", "_Z", "DW.", "__"))}
    assert {"malloc", "free", "mallctl"} < public
    (tmp_path / "names").write_text("".join(f"{n} {prefix}{n}\n" for n in public))
    subprocess.run(["objcopy", f"--redefine-syms={tmp_path / 'names'}", archive("jemalloc_pic"), tmp_path / "prefixed.a"], check=True)
    # without its operators of C++, as such a build has none
    subprocess.run(["ar", "d", tmp_path / "prefixed.a", "jemalloc_cpp.pic.o", "jemalloc_cpp.o"], check=True)
    return tmp_path / "prefixed.a"


def link(tmp_path, name, text, *options, strip=False, compiler="gcc"):
    (tmp_path / "local.map").write_text("{ local: *; };\n")
    options = [str(o).replace("local.map", str(tmp_path / "local.map")) for o in options]
    program = build(tmp_path, name, text, *options, compiler=compiler)
    if strip:
        subprocess.run(["strip", program], check=True)
    return program


def with_and_without(tmp_path, command, preload=(LIBRARY,), **options):
    """Unharmed: prints and ends the same. Returns what it said beyond that."""
    plain = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    done = run(tmp_path, command, list(preload), **options)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout), done.stderr
    assert plain.stderr == "" and plain.returncode == 3
    return done.stderr


def lost(path, name):
    return info(path)["lost"]["heap." + name]


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("hide", ["", *OURS])
@pytest.mark.parametrize("name,known", [("jemalloc", "jemalloc"), ("tcmalloc_minimal", "tcmalloc")])
def test_an_archive_that_replaces_malloc(tmp_path, name, known, hide, strip):
    program = link(tmp_path, "program", ALONE, "-DMAKE=malloc", "-DDROP=free", archive(name), *EXTRA[name], *([hide] if hide else []), strip=strip)
    said = with_and_without(tmp_path, [program])
    path = one(tmp_path)
    counts = inclusive(path, "alloc-count")[0]
    assert "main" not in counts and info(path)["misuse"] == []
    if hide and strip:  # nothing is left to know it by: the manual page says so
        assert said == "" and lost(path, "own_allocator") == 0
    else:
        whose = known if hide else "its own"
        assert said == f"perfprobe: the program's malloc is {whose}, linked in: its heap is not recorded\n"
        assert lost(path, "own_allocator") == 1
    assert lost(path, "hidden_allocator") == 0


def check_half(path, said, sentence):
    """What malloc made is recorded, exactly; what the other made is not, and this is said once and counted."""
    assert said == f"perfprobe: {sentence}: its blocks are not recorded, the rest of the heap is\n"
    assert lost(path, "hidden_allocator") == 1 and lost(path, "own_allocator") == 0
    counts = {m: inclusive(path, m)[0] for m in METRICS}
    assert [counts[m]["beside"] for m in METRICS] == [20, 1000, 10, 500]
    assert "inside" not in counts["alloc-count"] and info(path)["misuse"] == []
    assert "heap.hidden_allocator" in analyze("report", "--metric", "live", path).stdout
    assert "Blocks of another allocator" in analyze("flamegraph", "--metric", "live", path).stdout


@pytest.mark.parametrize("how", ["hidden", "only in .symtab", "exported and stripped"])
@pytest.mark.parametrize("prefix", ["je_", "_rjem_"])
def test_jemalloc_under_a_prefix(tmp_path, prefix, how):
    options = {"hidden": [OURS[0]], "only in .symtab": [], "exported and stripped": ["-rdynamic"]}[how]
    program = link(tmp_path, "program", USER, f"-DMAKE={prefix}malloc", f"-DDROP={prefix}free", prefixed(tmp_path, prefix), "-lm", *options,
                   strip="stripped" in how)
    said = with_and_without(tmp_path, [program])
    path = one(tmp_path)
    if how == "exported and stripped":
        assert said.startswith(f"perfprobe: jemalloc is linked into the program ({prefix}malloc): ")
        assert lost(path, "hidden_allocator") == 1 and inclusive(path, "alloc-count")[1] >= 20
    else:
        check_half(path, said, f"jemalloc is linked into the program ({prefix}malloc)")


# Others, of which Debian has no archive: their functions by name, on top of static memory.
MADE = r"""
#include <stddef.h>
static _Alignas(16) char memory[1 << 20];
static size_t used;
__attribute__((noinline)) void *MAKE(size_t n) { char *p = memory + used; used += (n + 15) & ~(size_t)15; return used <= sizeof memory ? p : NULL; }
void DROP(void *p) { (void)p; }
void *PROOF(size_t n) { return MAKE(n); }
"""


@pytest.mark.parametrize("make,drop,proof,whose", [
    ("mi_malloc", "mi_free", "_mi_malloc_generic", "mimalloc"), ("tc_malloc", "tc_free", "tc_malloc_skip_new_handler", "tcmalloc"),
    ("TCMallocInternalMalloc", "TCMallocInternalFree", "more", "tcmalloc"), ("rpmalloc", "rpfree", "rpmalloc_initialize", "rpmalloc"),
    ("sn_rust_alloc", "sn_rust_dealloc", "more", "snmalloc"), ("scalable_malloc", "scalable_free", "more", "TBB's malloc")])
def test_others_by_their_names(tmp_path, make, drop, proof, whose):
    names = [f"-DMAKE={make}", f"-DDROP={drop}", f"-DPROOF={proof}"]
    part = build(tmp_path, "made.o", MADE, *names, "-c")
    program = link(tmp_path, "program", USER, *names, part)
    said = with_and_without(tmp_path, [program])
    check_half(one(tmp_path), said, f"{whose} is linked into the program ({make})")


@pytest.mark.parametrize("hide", ["hidden", "exported"])
def test_inside_a_library(tmp_path, hide):
    """Of an exported name nothing needs to be said where calls of it are followed; of je_malloc none are."""
    source = "extern void *je_malloc(unsigned long); extern void je_free(void *);\n" \
             "void *plugin_make(unsigned long n) { return je_malloc(n); }\nvoid plugin_drop(void *p) { je_free(p); }\n"
    build(tmp_path, "libplugin.so", source, "-shared", "-fPIC", prefixed(tmp_path, "je_"), "-lm", *([OURS[0]] if hide == "hidden" else []))
    program = link(tmp_path, "program", USER, "-DMAKE=plugin_make", "-DDROP=plugin_drop", f"-L{tmp_path}", "-lplugin", f"-Wl,-rpath,{tmp_path}")
    said = with_and_without(tmp_path, [program])
    check_half(one(tmp_path), said, "jemalloc is linked into libplugin.so (je_malloc)")


def test_a_program_that_takes_nothing_from_elsewhere_has_no_heap(tmp_path):
    program = link(tmp_path, "program", ALONE, "-DMAKE=je_malloc", "-DDROP=je_free", prefixed(tmp_path, "je_"), "-lm")
    assert with_and_without(tmp_path, [program]) == "perfprobe: the program's malloc is jemalloc, linked in: its heap is not recorded\n"
    assert lost(one(tmp_path), "own_allocator") == 1 and inclusive(one(tmp_path), "alloc-count")[1] == 0


def test_two_objects_with_one_are_one_sentence(tmp_path):
    names = ["-DMAKE=rpmalloc", "-DDROP=rpfree", "-DPROOF=rpmalloc_initialize"]
    build(tmp_path, "libplugin.so", MADE, *names, "-shared", "-fPIC")
    program = link(tmp_path, "program", USER, "-DMAKE=je_malloc", "-DDROP=je_free", prefixed(tmp_path, "je_"), "-lm", "-Wl,--no-as-needed",
                   f"-L{tmp_path}", "-lplugin", f"-Wl,-rpath,{tmp_path}")
    said = with_and_without(tmp_path, [program])
    assert said == "perfprobe: jemalloc is linked into the program (je_malloc): its blocks are not recorded, the rest of the heap is; " \
                   "other objects with an allocator inside: 1\n"
    assert lost(one(tmp_path), "hidden_allocator") == 2


CXX_WITH_ITS_OWN_MALLOC = r"""
#include <cstdio>
#include <cstdlib>
__attribute__((noinline)) char *made() { return new char[100]; }
int main() { for (int i = 0; i < 10; i++) { char *p = made(); asm volatile("" : "+r"(p)); delete[] p; std::free(std::malloc(10)); } puts("done"); return 3; }
"""


def test_a_malloc_of_the_programs_own_beside_operators_that_are_not(tmp_path):
    """The operators are libstdc++'s, which calls the malloc that it finds: ours."""
    (tmp_path / "local.map").write_text("{ local: *; };\n")
    (tmp_path / "cxx.cc").write_text(CXX_WITH_ITS_OWN_MALLOC)
    part = build(tmp_path, "made.o", MADE, "-DMAKE=malloc", "-DDROP=free", "-DPROOF=calloc", "-c")
    subprocess.run(["g++", "-O1", "-g", "-fno-builtin", tmp_path / "cxx.cc", part, f"-Wl,--version-script,{tmp_path / 'local.map'}", "-o", tmp_path / "cxx"],
                   check=True, timeout=60)
    said = with_and_without(tmp_path, [tmp_path / "cxx"])
    assert said == "perfprobe: an allocator is linked into the program (malloc): its blocks are not recorded, the rest of the heap is\n"
    path = one(tmp_path)
    assert inclusive(path, "alloc-count")[0]["made()"] == 10 and "made()" not in inclusive(path, "live")[0] and info(path)["misuse"] == []


def test_a_forked_child_has_the_same_gap(tmp_path):
    program = link(tmp_path, "program", USER, "-DMAKE=je_malloc", "-DDROP=je_free", prefixed(tmp_path, "je_"), "-lm")
    said = with_and_without(tmp_path, [program, "fork"])
    assert said.count("\n") == 1
    files = sorted(tmp_path.glob("*.snap"))
    assert len(files) == 2 and [lost(f, "hidden_allocator") for f in files] == [1, 1]


# A program that has all the names, as text, data, parts of other names, references and wrappers, and no allocator but libc's.
MENTIONS = USER.replace("MAKE(1000)", "malloc(1000)").replace("DROP(p)", "free(p)").replace("extern void *MAKE(size_t);\nextern void DROP(void *);", r"""
const char *texts[] = { "MALLOC_CONF", "<jemalloc>: ", "je_malloc", "je_mallctl", "_rjem_malloc", "mi_malloc", "_mi_malloc_generic", "tc_malloc",
                        "tcmalloc", "libjemalloc.so.2", "tc_malloc_skip_new_handler", "rpmalloc", "rpmalloc_initialize", "malloc", "free" };
int je_mallctl = 1, _rjem_malloc = 2, tc_malloc_skip_new_handler = 3; /* data */
extern void *mi_malloc(size_t) __attribute__((weak));
extern void *_mi_malloc_generic(size_t) __attribute__((weak));
void *mine_rpmalloc(size_t n) { return malloc(n); } /* "rpmalloc" and "malloc" are tails of it */
void *x_malloc(size_t n) { return malloc(n); }
void x_free(void *p) { free(p); }
void rpmalloc_initialize(void) { }
void *je_malloc(size_t n) { return malloc(n); } /* somebody's wrappers */
void je_free(void *p) { free(p); }
void *tc_malloc(size_t n) { return malloc(n); }
""")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("option", ["-O1", "-rdynamic", "-no-pie"])
def test_a_program_that_only_mentions_allocators_is_recorded_in_full(tmp_path, option, compiler):
    program = link(tmp_path, "program", MENTIONS, option, compiler=compiler)
    assert with_and_without(tmp_path, [program]) == ""
    path = one(tmp_path)
    counts = {m: inclusive(path, m)[0] for m in METRICS}
    assert [counts[m]["beside"] for m in METRICS] == [20, 1000, 10, 500]
    assert [counts[m]["inside"] for m in METRICS] == [20, 20000, 10, 10000]
    assert lost(path, "own_allocator") == lost(path, "hidden_allocator") == 0
    assert "Blocks of another allocator" not in analyze("flamegraph", "--metric", "live", path).stdout


def half(tmp_path):
    return link(tmp_path, "program", USER, "-DMAKE=je_malloc", "-DDROP=je_free", prefixed(tmp_path, "je_"), "-lm")


def test_by_way_of_the_loader(tmp_path):
    """/proc/self/exe is the loader then."""
    interpreter = re.search(r"interpreter: ([^\]]*)", subprocess.run(["readelf", "-lW", "/bin/sh"], capture_output=True, text=True).stdout)
    said = with_and_without(tmp_path, [interpreter.group(1), half(tmp_path)])
    check_half(one(tmp_path), said, "jemalloc is linked into the program (je_malloc)")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_program_that_may_be_run_and_not_read(tmp_path):
    usable_by_all(tmp_path)
    program = half(tmp_path)
    program.chmod(0o111)
    env = {**environment(tmp_path, **FULL)}
    done = subprocess.run([program], env=env, timeout=60, stdin=subprocess.DEVNULL, capture_output=True, text=True, user=65534, group=65534)
    assert (done.returncode, done.stderr) == (3, "")
    assert inclusive(one(tmp_path), "alloc-count")[1] >= 20


@pytest.mark.parametrize("where,value", [("e_shoff", 1 << 62), ("e_shnum", 0xffff), ("e_shentsize", 3), ("symtab size", 1 << 60), ("symtab link", 7777)])
def test_a_file_whose_headers_lie(tmp_path, where, value):
    """The loader does not look at them."""
    program = half(tmp_path)
    data = bytearray(program.read_bytes())
    shoff, = struct.unpack_from("<Q", data, 40)
    shnum, = struct.unpack_from("<H", data, 60)
    symtab = next(at for at in range(shoff, shoff + 64 * shnum, 64) if struct.unpack_from("<I", data, at + 4) == (2,))
    offset, form = {"e_shoff": (40, "<Q"), "e_shnum": (60, "<H"), "e_shentsize": (58, "<H"), "symtab size": (symtab + 32, "<Q"),
                    "symtab link": (symtab + 40, "<I")}[where]
    struct.pack_into(form, data, offset, value)
    program.write_bytes(data)
    said = with_and_without(tmp_path, [program])
    assert said == "" or where == "e_shnum"
    assert inclusive(one(tmp_path), "alloc-count")[1] >= 20


def test_without_a_heap_nothing_is_looked_for(tmp_path):
    assert with_and_without(tmp_path, [half(tmp_path)], heap="off") == ""


RUST = r"""
use std::alloc::{GlobalAlloc, Layout};
extern "C" {
    fn _rjem_mallocx(size: usize, flags: i32) -> *mut u8;
    fn _rjem_malloc(size: usize) -> *mut u8;
    fn _rjem_sdallocx(ptr: *mut u8, size: usize, flags: i32);
}
struct Jemalloc;
unsafe impl GlobalAlloc for Jemalloc {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        if l.align() <= 16 { _rjem_malloc(l.size()) } else { _rjem_mallocx(l.size(), l.align().trailing_zeros() as i32) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) { _rjem_sdallocx(p, l.size(), 0) }
}
#[global_allocator]
static GLOBAL: Jemalloc = Jemalloc;
fn main() {
    let v: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    println!("{}", v.join(" ").len());
    std::process::exit(3);
}
"""


def test_the_global_allocator_of_a_rust_program(tmp_path):
    if not shutil.which("rustc"):
        pytest.skip("no rustc")
    (tmp_path / "program.rs").write_text(RUST)
    subprocess.run(["rustc", "-O", "-o", tmp_path / "program", tmp_path / "program.rs", "-C", f"link-arg={prefixed(tmp_path, '_rjem_')}",
                    "-C", "link-arg=-lm"], check=True, timeout=120)
    said = with_and_without(tmp_path, [tmp_path / "program"])
    assert said == "perfprobe: jemalloc is linked into the program (_rjem_malloc): its blocks are not recorded, the rest of the heap is\n"
    assert lost(one(tmp_path), "hidden_allocator") == 1

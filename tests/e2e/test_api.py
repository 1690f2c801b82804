"""perfprobe.h in C and C++ programs, with and without the library; PERFPROBE_MMAP."""
import json
import shutil
import subprocess

import pytest

from recording import LIBRARY, ROOT, VICTIMS, analyze, environment, inclusive, info, one, record, report, snapshots

pytestmark = pytest.mark.untimed

FULL = {"heap": "full", "cpu": 0}
METRICS = ("alloc-count", "alloc", "live-count", "live")

PROGRAM = r"""
#include "perfprobe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define PLACE __attribute__((noinline))

struct pool { char *memory; size_t used; };
PLACE static void pool_open(struct pool *p)
{
	p->memory = (char *)malloc(65536);
	p->used = 0;
	perfprobe_pool_create(p);
	perfprobe_pool_memory(p, p->memory);
}
PLACE static void *give(struct pool *p, size_t n)
{
	void *block = p->memory + p->used;
	p->used += n;
	perfprobe_pool_alloc(p, block, n);
	return block;
}
PLACE static void *one_user(struct pool *p) { return give(p, 100); }
PLACE static void *other_user(struct pool *p) { return give(p, 7); }
PLACE static void pool_close(struct pool *p) { perfprobe_pool_destroy(p); free(p->memory); }

int main(void)
{
	struct pool kept, gone;
	void *last = NULL;
	int written;

	errno = 77;
	perfprobe_mark("begin");
	pool_open(&kept);
	pool_open(&gone);
	for (int i = 0; i < 50; i++) {
		last = one_user(&kept);
		(void)other_user(&gone);
	}
	perfprobe_pool_free(&kept, last);
	perfprobe_pool_free(&kept, last);	/* not there any more: nothing happens */
	pool_close(&gone);
	perfprobe_mark("second");
	perfprobe_adopt(perfprobe_current());
	perfprobe_end(perfprobe_begin("api/4711"));
	perfprobe_end(0);
	written = perfprobe_snapshot("asked");
	perfprobe_stop();
	free(malloc(12345));
	perfprobe_start();
	free(malloc(54321));
	printf("%d %d\n", written, errno);
	return 3;
}
"""

WAYS = [("gcc", "c", ["-O2"]), ("gcc", "c", ["-O0"]), ("gcc", "c", ["-O2", "-fno-pie", "-no-pie"]),
        ("clang", "c", ["-O2"]), ("clang", "c", ["-O2", "-fno-pie", "-no-pie"]),
        ("g++", "cc", ["-O2", "-std=c++17"]), ("clang++", "cc", ["-O1", "-std=c++11"]),
        ("g++", "cc", ["-O2", "-std=c++17", "-fno-pie", "-no-pie"])]


def build(directory, compiler, ending, options):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    source = directory / f"program.{ending}"
    source.write_text(PROGRAM)
    done = subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-fno-builtin-malloc", "-fno-optimize-sibling-calls", *options, f"-I{ROOT}/preload", str(source), "-o",
                           str(directory / "program")], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory / "program"


@pytest.mark.parametrize("compiler,ending,options", WAYS)
def test_without_the_library_calls_do_nothing(tmp_path, compiler, ending, options):
    program = build(tmp_path, compiler, ending, options)
    done = subprocess.run([program], timeout=20, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "-38 77\n", "")


@pytest.mark.parametrize("options", [["-static"], ["-static-pie"], ["-O2", "-static"]])
def test_static_programs_link_and_run(tmp_path, options):
    program = build(tmp_path, "gcc", "c", options)
    done = subprocess.run([program], timeout=20, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "-38 77\n", "")


@pytest.mark.parametrize("compiler,ending,options", WAYS)
def test_pools_marks_and_snapshots(tmp_path, compiler, ending, options):
    program = build(tmp_path, compiler, ending, options)
    done = record(tmp_path, [program], check=False, timeout=20, **FULL)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0 77\n", "")
    asked, last = one(tmp_path, "*.request.snap"), one(tmp_path, "*.exit.snap")
    for path in (asked, last):
        data = info(path)
        assert [(r["method"], r["route"], r["count"]) for r in json.loads(analyze("requests", "--json", path).stdout)["routes"]] == [("WORK", "api/*", 1)]
        assert [m["name"] for m in data["marks"]] == ["begin", "second", "asked"]
        assert data["start_ns"] <= data["marks"][0]["time_ns"] <= data["marks"][2]["time_ns"] <= data["end_ns"]
        assert data["misuse"] == [] and data["lost"]["heap.missed_free"] == 0
        counts = {m: inclusive(path, m)[0] for m in METRICS}
        assert [counts[m].get("one_user", counts[m].get("one_user(pool*)", 0)) for m in METRICS] == [50, 5000, 49, 4900]
        assert [counts[m].get("other_user", counts[m].get("other_user(pool*)", 0)) for m in METRICS] == [50, 350, 0, 0]
    live = sum(s["value"] for s in report(last, "live")["stacks"] if "main" in s["frames"] and "_IO_file_doallocate" not in s["frames"])
    assert live == 4900  # nothing twice: the pools' own memory is not counted
    sizes = [s["value"] for s in report(last, "alloc")["stacks"] if s["frames"][0] == "main"]
    assert 54321 in sizes and not any(s in (12345, 12345 + 54321) for s in sizes)  # stopped, and started


def test_sampled_pools(tmp_path):
    program = build(tmp_path, "gcc", "c", ["-O2"])
    done = record(tmp_path, [program], check=False, timeout=20, heap="sampled", heap_interval=100, cpu=0)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0 77\n", "")
    assert inclusive(one(tmp_path, "*.exit.snap"), "live")[0]["one_user"] == pytest.approx(4900, rel=0.5)


FORKS = PROGRAM.split("int main")[0] + r"""
#include <sys/wait.h>
#include <unistd.h>
PLACE static void *in_the_child(struct pool *p) { return give(p, 11); }
int main(void)
{
	struct pool pool;
	void *block[10];

	pool_open(&pool);
	for (int i = 0; i < 10; i++)
		block[i] = one_user(&pool);
	if (fork() == 0) {
		for (int i = 0; i < 4; i++)
			perfprobe_pool_free(&pool, block[i]);
		(void)in_the_child(&pool);
		perfprobe_snapshot("of the child");
		exit(0);
	}
	wait(NULL);
	perfprobe_pool_free(&pool, block[9]);
	return 0;
}
"""


@pytest.mark.parametrize("detail", [0, 1])
def test_a_forked_child_inherits_blocks_of_pools(tmp_path, detail):
    (tmp_path / "forks.c").write_text(FORKS)
    subprocess.run(["gcc", "-O1", "-fno-optimize-sibling-calls", "-Wno-unused-function", f"-I{ROOT}/preload", tmp_path / "forks.c", "-o",
                    tmp_path / "forks"], check=True, timeout=60)
    record(tmp_path, [tmp_path / "forks"], timeout=20, detail=detail, **FULL)
    child = info(one(tmp_path, "*.request.snap"))["pid"]
    for path in snapshots(tmp_path):
        live = inclusive(path, "live")[0]
        expected = (600, 11) if info(path)["pid"] == child else (900, 0)
        assert (live["one_user"], live.get("in_the_child", 0)) == expected, path
    assert len(snapshots(tmp_path)) == 3


# ---- mmap


def test_mappings_are_counted_by_range(tmp_path):
    done = record(tmp_path, [VICTIMS / "victim_mapped"], mmap="on", **FULL)
    assert done.stderr == ""
    path = one(tmp_path)
    bytes_of, total = inclusive(path, "mmap")
    ranges = {}
    for stack in report(path, "mmap")["stacks"]:
        for name in set(stack["frames"]):
            ranges[name] = ranges.get(name, 0) + stack["count"]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 8
    for name, count, size in lines:
        assert (ranges.get(name, 0), bytes_of.get(name, 0)) == (int(count), int(size)), name
    data = info(path)["mmap"]
    assert data["recorded"] and data["live_bytes"] == total == data["mapped_bytes"] - data["unmapped_bytes"]
    assert data["peak_bytes"] >= total
    assert not {"whole", "hole", "grown"} & set(inclusive(path, "live")[0])  # never mixed with the heap


def test_mappings_are_off_by_default(tmp_path):
    record(tmp_path, [VICTIMS / "victim_mapped"], **FULL)
    path = one(tmp_path)
    assert info(path)["mmap"]["recorded"] is False
    done = analyze("report", "--metric", "mmap", path, check=False)
    assert done.returncode == 1 and "PERFPROBE_MMAP=on" in done.stderr


@pytest.mark.parametrize("other", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
@pytest.mark.parametrize("first", [True, False])
def test_what_allocators_map_is_not_counted_twice(tmp_path, other, first):
    path = f"/usr/lib/x86_64-linux-gnu/{other}"
    env = environment(tmp_path, mmap="on", **FULL)
    env["LD_PRELOAD"] = f"{LIBRARY}:{path}" if first else f"{path}:{LIBRARY}"
    try:
        open(path, "rb").close()
    except OSError:
        pytest.skip(f"no {other}")
    done = subprocess.run([VICTIMS / "victim_known", "portable"], env=env, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    mapped = inclusive(one(tmp_path), "mmap")[0]
    assert "from_malloc" not in mapped and "realloc_chain" not in mapped
    assert len(snapshots(tmp_path)) == 1

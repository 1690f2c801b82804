"""Names come from files that anybody may have made: of functions, threads, programs, their arguments. One that is a terminal's escape
sequence, a page's script, a separator of every text format and no UTF-8 goes through every writer and every view."""

import gzip
import json
import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

import recording

pytestmark = pytest.mark.untimed

EVIL = b"ev\x1b]0;OWNED\x07<img src=x onerror=alert(1)>&\"';a b\n\r\t,=\\\xff\xc2\x9b\xe2\x80\xae-->]]>%s$(x)`x`"
PROGRAM = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
__attribute__((noinline)) void *plain_name(size_t n)
{
	void *p = malloc(n);
	for (clock_t end = clock() + CLOCKS_PER_SEC / 10; clock() < end;)
		__asm__ volatile("" ::: "memory");
	__asm__ volatile("" ::"r"(p) : "memory");
	return p;
}
static void *work(void *name)
{
	pthread_setname_np(pthread_self(), name);
	return plain_name(3 << 20);
}
int main(int argc, char **argv)
{
	static void *kept[3];
	pthread_t t;
	(void)argc;
	pthread_create(&t, NULL, work, argv[1]);
	pthread_join(t, &kept[0]);
	kept[1] = plain_name(2 << 20);
	kept[1] = NULL; /* nothing leads there any more */
	return kept[0] == NULL;
}
"""


@pytest.fixture(scope="module")
def snap(tmp_path_factory):
    """A recording of a program whose file, function, thread and arguments have that name."""
    directory = tmp_path_factory.mktemp("names")
    plain, evil = directory / "plain", os.fsencode(directory) + b"/" + re.sub(rb"[/\n]", b"", EVIL)
    (directory / "program.c").write_text(PROGRAM)
    subprocess.run(["cc", "-O1", "-pthread", "-Wl,--build-id=sha1", "-o", plain, directory / "program.c"], check=True)
    subprocess.run([b"objcopy", b"--redefine-sym", b"plain_name=" + EVIL, os.fsencode(plain), evil], check=True)
    subprocess.run([evil, EVIL[:15].replace(b"\0", b""), EVIL], check=True, stdin=subprocess.DEVNULL,
                   env=recording.environment(directory, heap="full", cpu=499, leaks="exit"))
    return recording.one(directory, "*.exit.snap")


def output(*args):
    return subprocess.run([recording.ANALYZE, *args], capture_output=True, check=True, timeout=60).stdout


def check_text(data):
    """Nothing that a terminal obeys; the name is there all the same."""
    text = data.decode(errors="surrogateescape")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e]", text), text[:400]
    assert b"OWNED" in data


def check_json(data):
    check_text(data.replace(b"\\u001b", b""))
    json.loads(data.decode())  # and that is UTF-8


def check_markup(data):
    assert b"<img" not in data and b"\x1b" not in data and b"OWNED" in data
    data.decode()


def check_svg(data):
    check_markup(data)
    assert xml.etree.ElementTree.fromstring(data).tag.endswith("svg")


def check_folded(data):
    check_text(data)
    lines = data.decode().splitlines()
    assert lines and all(re.fullmatch(r"[^;]+(;[^;]+)* \d+( \d+)?", line) for line in lines), lines


def check_pprof(data):
    data = gzip.decompress(data)
    assert b"OWNED" in data and b"\x1b]0;" not in data and b"\xc2\x9b" not in data


FORMATS = {"cpuprofile": check_json, "heapprofile": check_json, "speedscope": check_json, "pprof": check_pprof, "folded": check_folded, "trace": check_json,
           "firefox": check_json, "callgrind": check_text, "perf-script": check_text, "dhat": check_json, "json": check_json}
VIEWS = [
    (["info", "A"], check_text), (["info", "--json", "A"], check_json), (["report", "A"], check_text), (["report", "--json", "A"], check_json),
    (["report", "--by", "thread", "A"], check_text), (["report", "--json", "--full-frames", "A"], check_json),
    (["report", "--full-frames", "--metric", "live", "A"], check_text), (["leaks", "A"], check_text), (["leaks", "--json", "A"], check_json),
    (["leaks", "--format", "sarif", "A"], check_json), (["leaks", "--format", "folded", "A"], check_folded), (["leaks", "--format", "flamegraph", "A"], check_svg),
    (["leaks", "--format", "text", "--full-frames", "A"], check_text), (["flamegraph", "A"], check_svg), (["flamegraph", "A", "B"], check_svg), (["requests", "A"], None), (["requests", "--json", "A"], None),
    (["diff", "B", "A"], check_text), (["diff", "--json", "B", "A"], check_json), (["diff", "--format", "folded", "B", "A"], check_folded),
    (["diff", "--format", "flamegraph", "B", "A"], check_svg),
] + [(["export", "--format", name, "--metric", "live" if name in ("heapprofile", "dhat") else "cpu", "A"], check) for name, check in FORMATS.items()]


@pytest.mark.parametrize("arguments, check", VIEWS, ids=[" ".join(arguments) for arguments, _ in VIEWS])
def test_views_and_exports(snap, tmp_path, arguments, check):
    empty = tmp_path / "empty.snap"
    if "B" in arguments:
        subprocess.run([recording.BUILD / "bin" / "make_snapshot", empty], input=b"cpu 0 401000 1\nheap 401000 1 8 0 0\n", check=True)
    data = output(*({"A": snap, "B": empty}.get(word, word) for word in arguments))
    if check:
        check(data)
    else:
        assert b"\x1b" not in data


def test_live_views_and_merge(snap, tmp_path):
    merged = tmp_path / "merged.snap"
    other = tmp_path / "other.snap"
    subprocess.run([recording.BUILD / "bin" / "make_snapshot", other], input=b"cpu 0 401000 1\nheap 401000 1 8 0 0\n", check=True)
    odd = os.fsencode(tmp_path) + b"/\x1b]0;out\x07.snap"
    assert b"\x1b" not in output("merge", snap, other, "-o", odd)
    os.rename(odd, merged)
    check_text(output("info", merged))
    check_json(output("report", "--json", merged))
    # What cannot be read is named in the one line that main() prints.
    done = subprocess.run([recording.ANALYZE, "info", b"/no\x1b]0;x\x07where"], capture_output=True, check=False)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr

"""Leak detection: about 270 small programs that state the leaks they have (tests/leaks), each built four times, each checked
at exit, and of two of the builds on demand. What is reported must be what is stated: blocks, bytes and kind of each function, and nothing else.

The statements are judged themselves, by LeakSanitizer and, where that cannot know or is wrong, by valgrind."""
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from leaks_judge import (BUILDS, MODES, Row, Statement, cases, compare, has_leaks_section, judge, lsan_runtime, newest, parse,
                         program, run_library, run_lsan, run_valgrind)

pytestmark = pytest.mark.untimed

# How the library is asked, and with which builds: at exit, from outside, by the program's own call. What is looked at is the same,
# so not every way needs every build; the two that are asked from outside differ most.
ASKED = {"exit": BUILDS, "demand": ("gcc-O2", "clang-O0"), "call": ("gcc-O2",)}
CASES = [f"{topic}.{case}" for topic, case in cases()]
LSAN_BUILDS = (*BUILDS, "clang-lsan")

# Where LeakSanitizer's answer is another, and why. A case that stands here and is judged alike fails: the list stays exact.
OTHER_KIND = "all blocks of a cycle are indirect to it: none is the direct leak"
ONE_BYTE = "an empty block counts as one byte"
NO_MAPPINGS = "memory that the program mapped is searched only where it says so (root regions)"
LSAN_DIFFERS = {
    "graph.cycle_two": OTHER_KIND, "graph.cycle_five": OTHER_KIND, "graph.cycle_with_tail": OTHER_KIND,
    "graph.cycle_leads_to_cycle": OTHER_KIND, "graph.cycle_points_to_kept": OTHER_KIND,
    "cxx_std.list_lost": OTHER_KIND, "cxx_std.list_lost_with_its_head": OTHER_KIND, "cxx_std.map_lost": OTHER_KIND,
    "cxx_std.shared_ptr_cycle": OTHER_KIND,
    "alloc.empty_lost": ONE_BYTE, "cxx_types.empty_plain_array_lost": ONE_BYTE,
    "graph.one_past_the_end": "a pointer to the end of a block is none to the block",
    "registers.in_red_zone": "a stack is searched from its pointer upwards",
    "registers.in_red_zone_running": "a stack is searched from its pointer upwards",
    "threads.result_not_yet_joined": "the result of an ended thread is forgotten",
    **{"roots." + name: NO_MAPPINGS for name in (
        "mapped_pool", "pool_mapped_by_syscall", "pool_mapped_before_main", "pool_made_read_only", "pool_of_huge_pages",
        "pool_of_code", "shared_anonymous", "shared_file", "private_file_written_to", "file_cut_short", "pool_moved",
        "pool_not_copied_by_fork", "pool_wiped_by_fork", "pool_copied_again", "in_reservation_of_terabytes", "pool_with_a_hole",
        "pool_beside_huge_block", "pool_beside_arena", "pool_beside_thread_stack", "pool_by_sbrk")},
    "coroutines.suspended_on_mapped_stack": NO_MAPPINGS, "coroutines.first_thread_inside": NO_MAPPINGS,
    "coroutines.other_thread_inside": NO_MAPPINGS, "coroutines.signal_stack_mapped": NO_MAPPINGS,
    "cxx_types.placement_in_mapped_pool": NO_MAPPINGS,
    **{"pools." + name: "pools are announced in words that it does not know" for name in (
        "in_heap_pool", "in_mapped_pool", "chain_in_pool", "pool_block_holds_heap_block", "heap_block_holds_pool_block",
        "two_pools")},
}
# Not asked at all: what it says depends on the moment, or it does not survive.
LSAN_CANNOT = {
    "alloc.realloc_in_transit": "while realloc moves a block, what the block holds looks lost to it",
    "alloc.realloc_of_mapped_in_transit": "while realloc moves a block, what the block holds looks lost to it",
    "libc.many_atexit_handlers": "preloaded, it waits for itself when libc allocates for a handler",
    "threads.first_thread_ended": "preloaded, it ends the process: it does not know the first thread",
}
# The rest is for valgrind, but for what that does not know either; the reason is the proof instead.
VALGRIND_CANNOT = {
    "graph.one_past_the_end": "the same to it; here the end of a range is a reference by design",
    "roots.in_reservation_of_terabytes": "it has no room for so large a mapping",
    "roots.pool_made_read_only": "only writable mappings are searched; the pool is still the program's to read",
    "coroutines.other_thread_inside": "it takes the coroutine's stack for the thread's and no longer searches that, on which a local waits",
    "alloc.realloc_of_mapped_in_transit": "it runs one thread at a time, and this one never lets another",
}
FOR_VALGRIND = [c for c in CASES if c in {**LSAN_DIFFERS, **LSAN_CANNOT} and c not in VALGRIND_CANNOT and not c.startswith("pools.")]


class Work:
    """All runs that the selected tests want, begun at once by a few workers; a test waits for its own."""

    def __init__(self, directories):
        self.pool = ThreadPoolExecutor(3)  # of two processors; a run waits a while, too
        self.directories, self.begun = directories, {}

    def begin(self, key, function, *args):
        if key not in self.begun:
            self.begun[key] = self.pool.submit(function, *args)

    def result(self, key):
        return self.begun[key].result()


def library_outcome(directories, build, name, mode):
    directory = directories.mktemp("leaks")
    outcome = run_library(directory, build, *name.split("."), mode)
    shutil.rmtree(directory, ignore_errors=True)  # kept only of runs that fail
    return outcome


@pytest.fixture(scope="session")
def checked(tmp_path_factory):
    """Does this build check at exit? Nothing below can be asked of one that does not."""
    directory = tmp_path_factory.mktemp("checked")
    run_library(directory, BUILDS[0], "graph", "direct", "exit", reading=lambda snapshot: [])
    return any(has_leaks_section(s) for s in directory.glob("*.exit.snap"))


@pytest.fixture(scope="session")
def work(request, tmp_path_factory):
    work = Work(tmp_path_factory)
    for item in request.session.items:
        if item.module.__name__ != __name__:
            continue
        of = getattr(item, "callspec", None)
        if item.originalname == "test_what_is_reported_is_what_is_lost" and request.getfixturevalue("checked"):
            name, mode = of.params["name"], of.params["mode"]
            for build in ASKED[mode]:
                work.begin((build, name, mode), library_outcome, tmp_path_factory, build, name, mode)
        elif item.originalname == "test_expectations_hold_for_lsan" and lsan_runtime():
            for build in LSAN_BUILDS:
                for mode in MODES:
                    name = of.params["name"]
                    work.begin(("lsan", build, name, mode), run_lsan, build, *name.split("."), mode)
        elif item.originalname == "test_expectations_hold_for_valgrind" and shutil.which("valgrind"):
            name = of.params["name"]
            work.begin(("valgrind", name), run_valgrind, BUILDS[0], *name.split("."))
    yield work
    work.pool.shutdown(cancel_futures=True)


def test_programs_are_built():
    assert len(CASES) >= 250 and len(set(CASES)) == len(CASES)
    for build in LSAN_BUILDS:
        for topic in {name.split(".")[0] for name in CASES}:
            assert program(build, topic).exists(), f"{build} has no {topic}"
    for listed in (LSAN_DIFFERS, LSAN_CANNOT, VALGRIND_CANNOT):
        assert set(listed) <= set(CASES), set(listed) - set(CASES)


@pytest.mark.parametrize("mode", ASKED)
@pytest.mark.parametrize("name", CASES)
def test_what_is_reported_is_what_is_lost(work, checked, name, mode):
    if not checked:
        pytest.skip("this build does not check for leaks: a run with PERFPROBE_LEAKS=exit has no section LEAKS")
    problems = []
    for build in ASKED[mode]:
        try:
            outcome = work.result((build, name, mode))
        except Exception as e:  # a build that fails must not hide what the others say
            problems.append(f"{build}: {type(e).__name__}: {e}")
            continue
        problems += [f"{build}: {p}" for p in judge(outcome, mode)]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.skipif(not lsan_runtime(), reason="no LeakSanitizer")
@pytest.mark.parametrize("name", [c for c in CASES if c not in LSAN_CANNOT])
def test_expectations_hold_for_lsan(work, name):
    problems = []
    for build in LSAN_BUILDS:
        for mode in MODES:
            outcome = work.result(("lsan", build, name, mode))
            differs = LSAN_DIFFERS.get(name)
            found = judge(outcome, mode)
            if not differs:
                problems += [f"{build}, {mode}: {p}" for p in found]
            elif not found:
                problems.append(f"{build}, {mode}: judged alike, though \"{differs}\"")
            elif differs == OTHER_KIND:
                problems += [f"{build}, {mode}: {p}" for p in judge(outcome, mode, kinds=False)]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
@pytest.mark.parametrize("name", FOR_VALGRIND)
def test_expectations_hold_for_valgrind(work, name):
    outcome = work.result(("valgrind", name))
    problems = judge(outcome, "exit")
    assert not problems, "\n" + "\n".join(problems)


# The judge is judged: by a result that fits, and by results that are wrong in one way each.

STATED = ("leak always direct lost 2 96\nleak always indirect child 3 30\nleak exit direct late 1 8\nleak always direct secret 1 *\n"
          "keep always - kept 1 40\nready\n")
RIGHT = [Row(["malloc", "lost", "main"], "direct", 1, 48), Row(["lost", "other", "main"], "direct", 1, 48),
         Row(["child(int)", "main"], "indirect", 3, 30), Row(["in_libc", "secret.part.0", "main"], "direct", 1, 552)]
LATE = Row(["late", "main"], "direct", 1, 8)
WRONG = {
    "one is missing": RIGHT[1:],
    "all are missing": [],
    "one too many": RIGHT + [Row(["lost", "main"], "direct", 1, 0)],
    "one block too few of the same bytes": [Row(["lost"], "direct", 1, 96)] + RIGHT[2:],
    "bytes": [Row(["lost"], "direct", 2, 95)] + RIGHT[2:],
    "kind": [Row(["lost"], "indirect", 2, 96)] + RIGHT[2:],
    "kept is reported": RIGHT + [Row(["kept", "main"], "direct", 1, 40)],
    "a function of nobody": RIGHT + [Row(["calloc", "init", "main"], "direct", 1, 40)],
    "no frames": RIGHT + [Row([], "direct", 1, 40)],
    "of the end, before it": RIGHT + [LATE],
    "secret is missing": RIGHT[:3],
}


def test_judge_accepts_what_is_right():
    statement = parse(STATED)
    assert compare(statement, ("always",), RIGHT) == []
    assert compare(statement, ("always", "exit"), RIGHT + [LATE]) == []
    assert compare(statement, ("always", "exit"), RIGHT) == ["late, direct: 0 blocks of 0 bytes reported, 1 of 8 lost"]


@pytest.mark.parametrize("how", WRONG)
def test_judge_refuses_what_is_wrong(how):
    assert len(compare(parse(STATED), ("always",), WRONG[how])) >= 1


def test_judge_wants_the_answers_of_an_interface():
    text = "expect after 1\nfound after {}\nready\n"
    assert compare(parse(text.format(1)), ("always",), []) == []
    assert compare(parse(text.format(0)), ("always",), []) == ["after: answered 0, not 1"]


@pytest.mark.parametrize("text", ["", "leak always direct lost 1 48\n", "Segmentation fault\n"])
def test_judge_refuses_a_program_that_states_nothing(text):
    with pytest.raises((AssertionError, ValueError)):
        parse(text)


def rows_as_stated(statement, whens):
    return [Row([site], kind, blocks, size or 1) for (site, kind), (blocks, size) in statement.expected(whens).items()]


@pytest.mark.parametrize("mode", MODES)
def test_runner_brings_program_and_report_together(tmp_path, mode):
    """With a report that is made up: the run, the request, and which snapshot is read, are real."""
    asked, read = [], []

    def asking(pid):
        asked.append(pid)
        for number, reason in ((7, "leaks"), (12, "leaks"), (99, "request")):
            (tmp_path / f"victim.{pid}.{number:04}.{reason}.snap").write_bytes(b"")

    def reading(snapshot):
        read.append(snapshot.name)
        return [Row(["lost"], "direct", 3, 96)]

    outcome = run_library(tmp_path, "gcc-O2", "graph", "direct", mode, asking=asking, reading=reading)
    assert isinstance(outcome.statement, Statement) and judge(outcome, mode) == []
    assert len(read) == 1 and len(asked) == (mode == "demand")
    assert ".0012.leaks." in read[0] if mode == "demand" else ".exit." in read[0]
    assert judge(outcome._replace(rows=[]), mode) == ["lost, direct: 0 blocks of 0 bytes reported, 3 of 96 lost"]
    assert rows_as_stated(outcome.statement, ("always",)) == outcome.rows
    with pytest.raises(AssertionError):
        newest(tmp_path, 1, "exit")


def test_runner_tells_the_child_from_its_parent(tmp_path):
    """The forked child writes a snapshot of its own; its leaks are stated apart."""
    def reading(snapshot):
        mine = len(read) == 0
        read.append(snapshot.name)
        return [Row(["lost"], "direct", 1, 170), Row(["lost_before_main"], "direct", 1, 31)] + (
            [] if mine else [Row(["lost_child"], "direct", 1, 48), Row(["lost_child"], "indirect", 1, 48)])

    read = []
    outcome = run_library(tmp_path, "gcc-O2", "process", "forked_child", "exit", reading=reading)
    assert len(set(read)) == 2 and judge(outcome, "exit") == []
    assert len(judge(outcome._replace(child_rows=[]), "exit")) == 4

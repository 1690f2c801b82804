"""PERFPROBE_LEAKS=exit in a process that ends by no return of main: _exit, another thread, a signal. And what LSAN_OPTIONS asks for."""
import json
import signal

import pytest

import leaks_judge
from leaks_judge import BUILDS, has_leaks_section, judge, run_library
from recording import VICTIMS, Running, analyze, environment, one, record, wait_until

pytestmark = pytest.mark.untimed

LEAKY = VICTIMS / "victim_leaky"
FULL = {"heap": "full", "cpu": 0, "leaks": "exit", "live": "off"}


def seven_are_told(directory):
    found = json.loads(analyze("leaks", "--json", one(directory, "*.exit.snap")).stdout)
    assert found["check"]["done"] and found["check"]["blocks"] >= 7
    assert [(r["bytes"], r["blocks"], r["kind"], r["confirmed"]) for r in found["leaks"]] == [(448, 7, "direct", True)]
    assert "lose_seven" in found["leaks"][0]["frames"]


@pytest.mark.parametrize("how,code", [("exit", 4), ("_exit", 4), ("_Exit", 4), ("quick_exit", 4), ("thread", 4),
                                      ("abort", -signal.SIGABRT), ("raise", -signal.SIGTERM)])
def test_checked_whichever_way_it_ends(tmp_path, how, code):
    done = record(tmp_path, [LEAKY, how], check=False, **FULL)
    assert done.returncode == code and done.stdout == "448 7 lose_seven\nready\n", done
    seven_are_told(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_checked_when_a_signal_from_outside_ends_it(tmp_path, how):
    with Running(tmp_path, [LEAKY, "wait"], **FULL) as running:
        wait_until(lambda: "ready" in running.output(), what="the program")
        assert running.stop(how) == -how
    seven_are_told(tmp_path)


def test_without_the_option_nobody_looks(tmp_path):
    record(tmp_path, [LEAKY, "_exit"], check=False, **{**FULL, "leaks": "off"})
    assert not has_leaks_section(one(tmp_path))


@pytest.mark.parametrize("mode", ["exit", "demand"])
@pytest.mark.parametrize("options,kept", [("", False), ("use_unaligned=0", False), ("use_unaligned=1", True),
                                          ("verbosity=0:use_unaligned=1", True)])
def test_unaligned_pointers_count_where_they_are_asked_for(tmp_path, monkeypatch, options, kept, mode):
    monkeypatch.setattr(leaks_judge, "environment", lambda *a, **o: {**environment(*a, **o), "LSAN_OPTIONS": options})
    for build in BUILDS:
        outcome = run_library(tmp_path, build, "graph", "unaligned", mode)
        if kept:
            assert outcome.rows == []
        else:
            assert judge(outcome, mode) == []

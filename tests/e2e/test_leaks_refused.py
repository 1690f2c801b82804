"""A leak check where something is in its way: a debugger, a filter of system calls, a control group without room. The answer is
right all the same, with the reason and the way that was used instead, or it says that there is none."""
import contextlib
import json
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

import leaks_judge
from leaks_judge import SECONDS, ask, judge, newest, run_library
from recording import BUILD, LIBRARY, analyze, control_group, environment, wait_until

# Leaks that are there, and blocks that only a register or a waiting thread's stack keeps.
CASES = ["graph.indirect", "registers.in_r15", "registers.in_r12_running", "registers.in_xmm_running", "threads.stack_of_waiting_thread",
         "threads.many_threads"]
# Filters a call, then becomes the program, with the library. seccomp(2); numbers of x86-64 and of the generic table.
FILTER = """
import ctypes, os, platform, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
arch, call = {'x86_64': (0xc000003e, 101), 'aarch64': (0xc00000b7, 117)}[platform.machine()]   # ptrace
insn = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
answer = {'errno': 0x00050000 | 1, 'kill': 0x80000000}[sys.argv[1]]
prog = (insn(0x20, 0, 0, 4) + insn(0x15, 0, 3, arch) + insn(0x20, 0, 0, 0) + insn(0x15, 0, 1, call) + insn(0x06, 0, 0, answer)
        + insn(0x06, 0, 0, 0x7fff0000))
buf = ctypes.create_string_buffer(prog)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack('HxxxxxxQ', len(prog) // 8, ctypes.addressof(buf)), 0, 0) == 0
os.execve(sys.argv[3], sys.argv[3:], dict(os.environ, LD_PRELOAD=sys.argv[2]))
"""


def tracer_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("TracerPid:"))


def ask_and_look(pid):
    """The signal that held the threads is given back."""
    def caught():
        return re.search(r"(?m)^SigCgt:.*$", pathlib.Path(f"/proc/{pid}/status").read_text())[0]

    before = caught()
    ask(pid)
    assert caught() == before


@contextlib.contextmanager
def traced(tracer, pid, log):
    """While a debugger or a tracer has the process; what it said is in the log."""
    command = [*TRACERS[tracer], str(pid)]
    with open(log, "w") as f:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until(lambda: tracer_of(pid) == process.pid, seconds=30, what=f"{tracer} to trace it")
        if tracer == "gdb":
            wait_until(lambda: "going on" in pathlib.Path(log).read_text(), seconds=30, what="gdb to let it go on")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_of(directory):
    found = next(iter(directory.glob("*.leaks.snap")))
    return json.loads(analyze("leaks", "--json", newest(directory, found.name.split(".")[-4], "leaks")).stdout)["check"]


TRACERS = {"gdb": ["gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "set pagination off",
                   "-ex", "echo going on\\n", "-ex", "continue", "-p"],
           "strace": ["strace", "-f", "-o", "/dev/null", "-p"]}


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("name", CASES)
def test_another_tracer_is_there(tmp_path, name, tracer):
    if not shutil.which(tracer):
        pytest.skip(f"no {tracer}")
    log = tmp_path / "tracer.log"

    def asking(pid):
        with traced(tracer, pid, log) as t:
            ask_and_look(pid)
            assert t.poll() is None and tracer_of(pid) == t.pid, "the tracer is gone: " + log.read_text()
            assert "received signal" not in log.read_text()  # it would have stopped the program

    outcome = run_library(tmp_path, "gcc-O2", *name.split("."), "demand", asking=asking)
    assert judge(outcome, "demand") == []
    check = check_of(tmp_path)
    assert check["method"] == "signals" and check["checks"] == 2
    assert f"the threads could not be traced (Operation not permitted: they are already, by {tracer})" in check["note"]


@pytest.mark.parametrize("answer", ["errno", "kill"])
@pytest.mark.parametrize("name", CASES)
def test_a_filter_that_refuses_ptrace(tmp_path, name, answer, monkeypatch):
    """Even one that kills who asks."""
    monkeypatch.setattr(leaks_judge, "environment", lambda *a, **o: {k: v for k, v in environment(*a, **o).items() if k != "LD_PRELOAD"})
    outcome = run_library(tmp_path, "gcc-O2", *name.split("."), "demand", asking=ask_and_look,
                          prefix=["/usr/bin/python3", "-c", FILTER, answer, str(LIBRARY)])
    assert judge(outcome, "demand") == []
    check = check_of(tmp_path)
    assert check["method"] == "signals" and check["checks"] == 2 and "the threads could not be traced (" in check["note"]


def test_a_thread_that_no_signal_reaches(tmp_path, monkeypatch):
    """It is counted, said, and its stack is searched whole: what it holds is not told as leaked, what is lost is."""
    monkeypatch.setattr(leaks_judge, "environment", lambda *a, **o: {k: v for k, v in environment(*a, **o).items() if k != "LD_PRELOAD"})
    outcome = run_library(tmp_path, "gcc-O2", "threads", "stack_of_thread_without_signals", "demand", asking=ask_and_look,
                          prefix=["/usr/bin/python3", "-c", FILTER, "errno", str(LIBRARY)])
    assert judge(outcome, "demand") == []
    check = check_of(tmp_path)
    assert (check["method"], check["checks"], check["threads"], check["threads_missed"]) == ("signals", 2, 1, 1)
    assert "1 threads could not be held" in check["note"]
    text = analyze("leaks", next(tmp_path.glob("*.leaks.snap"))).stdout
    assert "could not be held" in text


def test_a_control_group_without_room(tmp_path):
    """No check, told with the reason; never "no leaks". With room again there is one."""
    def asking(pid):
        (group / "cgroup.procs").write_text(str(pid))
        (group / limit).write_text(str(int((group / used).read_text()) + (6 << 20)))
        done = subprocess.run([BUILD / "bin" / "perfprobe", "leaks", str(pid)], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 1 and "control group's memory limit leaves" in done.stderr, done
        snapshot = newest(tmp_path, pid, "leaks")
        said = analyze("leaks", "--fail-on-leak", snapshot, check=False)
        assert said.returncode == 1 and "control group's memory limit leaves" in said.stdout + said.stderr, said
        assert "no leaks" not in said.stdout + said.stderr
        check = json.loads(analyze("leaks", "--json", snapshot, check=False).stdout)["check"]
        assert not check["done"] and "the search may need 16" in check["note"]
        (group / limit).write_text(str(1 << 30))
        ask(pid)

    with control_group() as (group, limit, used):
        outcome = run_library(tmp_path, "gcc-O2", "graph", "indirect", "demand", asking=asking)
        assert judge(outcome, "demand") == []
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group to be empty")

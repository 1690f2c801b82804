"""The control socket: `perfprobe snapshot`, `start`, `stop`, `set`, `status` and `list` on running programs, and what must not harm them."""

import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from recording import (BUILD, LIBRARY, VICTIMS, Running, environment, identity, info, one, snapshots, usable_by_all, wait_until)

PERFPROBE = BUILD / "bin" / "perfprobe"
PYTHON = "/usr/bin/python3"
NOBODY = pwd.getpwnam("nobody").pw_uid
ROOT = os.getuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root")
users = pytest.mark.parametrize("user", [None, NOBODY] if ROOT else [None], ids=lambda u: "nobody" if u else "me")
# Works a little all the time, so that there are samples, and says when it has begun.
IDLE = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.02); sum(range(2000))"


def perfprobe(*words, user=None, timeout=30):
    return subprocess.run([str(PERFPROBE), *map(str, words)], capture_output=True, text=True, timeout=timeout, env=plain(),
                          stdin=subprocess.DEVNULL, **identity(user))


def plain():
    return {k: v for k, v in os.environ.items() if not k.startswith("PERFPROBE_") and k != "LD_PRELOAD"}


def ask(*words, **kwargs):
    done = perfprobe(*words, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def refused(*words, **kwargs):
    done = perfprobe(*words, **kwargs)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


def status_of(pid, **kwargs):
    """The figures by name, and the options by name: (value, source)."""
    text = ask("status", pid, **kwargs)
    lines = dict(re.findall(r"^(\w+) +(.*)$", text, re.M))
    options = {name: (value, source) for name, value, source in re.findall(r"^PERFPROBE_(\w+)=(.*) \((.*)\)$", text, re.M)}
    assert len(options) > 20 and {"process", "state", "cpu", "heap", "stacks", "cost", "lost"} <= set(lines), text
    return lines, options


def socket_of(pid, user=None):
    return pathlib.Path(f"/tmp/perfprobe-{os.getuid() if user is None else user}/{pid}.sock")


class Python(Running):
    """A Python program under the library that has printed a line."""

    def __init__(self, directory, program=IDLE, prefix=(), **kwargs):
        super().__init__(directory, [*prefix, PYTHON, "-c", program], **kwargs)

    def __enter__(self):
        wait_until(lambda: "\n" in self.output(), what="the program's first line")
        return self

    @property
    def pid(self):
        return self.process.pid


# ---- requests


@users
def test_snapshot(tmp_path, user):
    usable_by_all(tmp_path)
    with Python(tmp_path, user=user) as p:
        first = ask("snapshot", p.pid, user=user)
        second = ask("snapshot", p.pid)  # root as well
        assert re.fullmatch(rf"{tmp_path}/python3\.{p.pid}\.0001\.request\.snap\n", first)
        assert re.fullmatch(rf"{tmp_path}/python3\.{p.pid}\.0002\.request\.snap\n", second)
        for path in (first.strip(), second.strip()):
            assert info(path)["reason"] == "request" and info(path)["pid"] == p.pid
            assert os.stat(path).st_uid == (os.getuid() if user is None else user)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("attempt", range(5))
def test_right_after_the_start(tmp_path, attempt):
    """The socket is made a moment after the start, and the program may not even have been loaded yet: the client waits for it."""
    process = subprocess.Popen([PYTHON, "-c", IDLE], env=environment(tmp_path), stdout=subprocess.DEVNULL)
    try:
        assert f".{process.pid}.0001.request.snap" in ask("snapshot", process.pid)
    finally:
        process.kill()
        process.wait()
    assert len(snapshots(tmp_path)) == 1


@users
def test_files_are_for_the_user_alone(tmp_path, user):
    """Whatever the program's umask is."""
    usable_by_all(tmp_path)
    with Python(tmp_path, "import os; os.umask(0o777)\n" + IDLE, user=user) as p:
        ask("status", p.pid, user=user)
        path = socket_of(p.pid, user)
        assert stat.S_ISSOCK(os.lstat(path).st_mode) and stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.lstat(path.parent).st_mode) == 0o700
        owner = os.getuid() if user is None else user
        assert os.lstat(path).st_uid == os.lstat(path.parent).st_uid == owner
    assert not path.exists(), "SIGTERM ended it, and its socket is gone"


KEEPS = """
import sys, time
kept = []
def keep():
    kept.append(bytearray(100000))
for line in sys.stdin:
    for _ in range(50): keep()
    end = time.process_time() + 0.15
    while time.process_time() < end: pass
    print('done', flush=True)
"""


def test_stop_and_start(tmp_path):
    """What is allocated and run while it is stopped is not there; what comes after is. As perfprobe_stop() and perfprobe_start() have it."""
    process = subprocess.Popen([PYTHON, "-c", KEEPS], env=environment(tmp_path, heap="full"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def work():
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        data = info(ask("snapshot", process.pid).strip())
        return data["heap"]["live_bytes"], data["cpu"]["samples"]

    try:
        bytes0, samples0 = work()
        assert ask("stop", process.pid) == ""
        assert status_of(process.pid)[0]["state"].startswith("stopped")
        bytes1, samples1 = work()
        assert abs(bytes1 - bytes0) < 100000 and samples1 == samples0
        assert ask("stop", process.pid) == "", "again"
        assert ask("start", process.pid) == ask("start", process.pid) == ""
        assert status_of(process.pid)[0]["state"].startswith("recording")
        bytes2, samples2 = work()
        assert bytes2 - bytes1 >= 5000000 and samples2 - samples1 >= 8
    finally:
        process.kill()
        process.wait()


def test_stop_agrees_with_the_programs_own_calls(tmp_path):
    program = ("import ctypes, sys\nlib = ctypes.CDLL(None)\n"
               "for line in sys.stdin: getattr(lib, line.strip())(); print('done', flush=True)")
    process = subprocess.Popen([PYTHON, "-c", program], env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(name):
        process.stdin.write(name + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    try:
        call("perfprobe_1_stop")
        assert status_of(process.pid)[0]["state"].startswith("stopped")
        ask("start", process.pid)
        assert status_of(process.pid)[0]["state"].startswith("recording")
        ask("stop", process.pid)
        call("perfprobe_1_start")
        assert status_of(process.pid)[0]["state"].startswith("recording")
    finally:
        process.kill()
        process.wait()


def test_set(tmp_path):
    other = tmp_path / "other"
    with Python(tmp_path) as p:
        assert ask("set", p.pid, "EVERY=150ms") == ""
        wait_until(lambda: len(snapshots(tmp_path, "*.interval.snap")) >= 3, what="snapshots at the interval")
        assert ask("set", p.pid, f"PERFPROBE_DIR={other}") == ""
        wait_until(lambda: snapshots(other, "*.interval.snap"), what="snapshots in the other directory")
        ask("set", p.pid, "EVERY=off")
        ask("set", p.pid, "WINDOW=2m")
        ask("set", p.pid, "VERBOSE=1")
        path = ask("snapshot", p.pid).strip()
        assert path.startswith(str(other) + "/")
        count = len(snapshots(other))
        _, options = status_of(p.pid)
        expected = {"EVERY": "off", "DIR": str(other), "WINDOW": "2m", "VERBOSE": "1"}
        assert {name: options[name] for name in expected} == {name: (v, "set at run time") for name, v in expected.items()}
        assert options["CPU"] == ("99", "default")
        time.sleep(0.4)
        assert len(snapshots(other)) == count, "no more at an interval"
        assert f"wrote {path}" in p.output()

        def recorded(file):
            return {o["name"]: (o["value"], o["source"]) for o in info(file)["options"] if o["name"] in expected}

        assert recorded(path) == {name: (value, "runtime") for name, value in expected.items()}
        wait_until(lambda: recorded(snapshots(tmp_path, "*.live")[0]) == recorded(path), what="the live file says so, too")


@pytest.mark.parametrize("assignment,sentence", [
    ("HEAP=full", "PERFPROBE_HEAP cannot change while the program runs"),
    ("CPU=999", "PERFPROBE_CPU cannot change while the program runs"),
    ("EVERY=1ms", "PERFPROBE_EVERY='1ms' is not usable (the shortest interval is 10ms)"),
    ("WINDOW=2h", "PERFPROBE_WINDOW='2h' is not usable (the window must be 1s to 1h)"),
    ("DIR=profiles", "PERFPROBE_DIR must begin with '/'"),
    ("DIR=/proc/profiles", "/proc/profiles: "),
    ("DIR=/" + "x" * 5000, "PERFPROBE_DIR must begin with '/'")])
def test_set_what_cannot_be_set(tmp_path, assignment, sentence):
    with Python(tmp_path) as p:
        before = status_of(p.pid)[1]
        if "x" * 100 in assignment:
            sentence = "PERFPROBE_DIR"
        assert sentence in refused("set", p.pid, assignment)
        assert status_of(p.pid)[1] == before


def is_little(lost):
    """Nothing, or samples: on a busy machine one finds no room, or falls into a moment in which there is no stack to walk."""
    return re.fullmatch(r"nothing|((cpu|unwind)\.\w+ \d+(, )?)+", lost) is not None


@users
def test_status(tmp_path, user):
    usable_by_all(tmp_path)
    with Python(tmp_path, user=user, heap="full", cpu=999) as p:
        ask("snapshot", p.pid)
        lines, options = status_of(p.pid, user=user)
        data = info(snapshots(tmp_path)[0])
        assert lines["process"] == f"{p.pid} python3" and lines["profiles"].startswith("1 written")
        assert lines["directory"] == str(tmp_path) and options["DIR"] == (str(tmp_path), "environment")
        live, blocks, allocated = map(int, re.match(r"full: (\d+) bytes live in (\d+) blocks, (\d+) allocated", lines["heap"]).groups())
        assert data["heap"]["alloc_bytes"] <= allocated and 0.5 < live / data["heap"]["live_bytes"] < 2
        assert 0.5 < blocks / data["heap"]["live_count"] < 2
        assert int(re.search(r"999 Hz: (\d+) samples", lines["cpu"]).group(1)) >= data["cpu"]["samples"] > 0
        assert float(lines["cost"].split()[0]) > 0 and is_little(lines["lost"])
        assert int(lines["control"].split()[0]) == 2


def test_leaks(tmp_path):
    with Python(tmp_path) as p:
        assert ask("leaks", p.pid).endswith(".leaks.snap\n")


@users
def test_list(tmp_path, user):
    usable_by_all(tmp_path)
    with Python(tmp_path, user=user) as p:
        row = rf"(?m)^ *{p.pid} +{os.getuid() if user is None else user} +yes +{PYTHON} -c import time"
        wait_until(lambda: re.search(row, ask("list", user=user)), what="the row")
        assert re.search(row, ask("list"))
        if ROOT and user is None:
            assert str(p.pid) not in perfprobe("list", user=NOBODY).stdout, "another user's process is not listed"
    assert not re.search(row, perfprobe("list").stdout)


# ---- who may ask


@needs_root
def test_others_may_not_ask(tmp_path):
    usable_by_all(tmp_path)
    with Python(tmp_path) as p, Python(usable_by_all(tmp_path_of(tmp_path, "b")), user=61236) as q:
        ask("status", p.pid), ask("status", q.pid)
        for pid, owner in ((p.pid, 0), (q.pid, 61236)):
            assert f"process {pid} is user {owner}'s" in refused("snapshot", pid, user=NOBODY)
            with pytest.raises(subprocess.CalledProcessError):  # past our client, too
                raw(socket_of(pid, owner), b"stop\n", user=NOBODY)
        assert status_of(p.pid)[0]["state"].startswith("recording")
    shutil.rmtree("/tmp/perfprobe-61236")


def tmp_path_of(parent, name):
    (parent / name).mkdir()
    return parent / name


@needs_root
def test_who_connects_is_asked_for_even_if_the_directory_were_open(tmp_path):
    """Somebody opened what we had closed: the kernel still says who connects."""
    user = 61237
    usable_by_all(tmp_path)
    with Python(tmp_path, user=user) as p:
        ask("status", p.pid)
        path = socket_of(p.pid, user)
        os.chmod(path.parent, 0o755)
        os.chmod(path, 0o666)
        assert raw(path, b"stop\n", user=NOBODY) == b"error only the process's own user and root may ask\n"
        assert "not user 61237's alone; not trusted" in refused("status", p.pid, user=user)
        os.chmod(path.parent, 0o700)
        assert status_of(p.pid, user=user)[0]["state"].startswith("recording")
    shutil.rmtree(path.parent)


# ---- hostile clients


def raw(path, data, user=None):
    """Sends the bytes, and all that comes back until the end."""
    program = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(10)\ns.connect(sys.argv[1])\n"
               "try: s.sendall(sys.stdin.buffer.read())\nexcept OSError: pass\n"
               "while True:\n    try: got = s.recv(65536)\n    except ConnectionResetError: break\n    if not got: break\n    sys.stdout.buffer.write(got)")
    return subprocess.run([PYTHON, "-c", program, str(path)], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=30,
                          **identity(user)).stdout


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(path))
    s.settimeout(20)
    return s


GARBAGE = [b"\n", b" \n", b"nonsense\n", b"\0\0\0\n", b"status\0\n", b"stop\0x\n", b"snapshot \n", b"status now\n", b"STATUS\n", b"status\r\n", b"set\n",
           b"set \n", b"set X\n", b"set =\n", b"set CPU\n", b"set NO_SUCH=1\n", b"set EVERY=" + b"9" * 300 + b"\n", b"status\nstop\n", b"\xff\xfe" * 50 + b"\n",
           b"set DIR=/" + b"\n" * 3, os.urandom(3000).replace(b"\n", b"") + b"\n", b"x" * 1_000_000, b"x" * 1_000_000 + b"\n", b"set VERBOSE=" + b"\0" * 100000]


def test_garbage(tmp_path):
    with Python(tmp_path) as p:
        ask("status", p.pid)
        before = status_of(p.pid)
        for data in GARBAGE:
            answer = raw(socket_of(p.pid), data)
            assert re.fullmatch(rb"error [\x20-\x7e]+\n", answer), (data[:40], answer)
        after = status_of(p.pid)
        assert after[1] == before[1] and after[0]["state"].startswith("recording")
        assert is_little(after[0]["lost"]) and p.process.poll() is None
        assert snapshots(tmp_path) == [] and p.output() == "ready\n"


def test_silent_and_slow_clients_hold_nobody_up(tmp_path):
    """Neither other clients nor snapshots at an interval; and they are sent away."""
    with Python(tmp_path, every="100ms") as p:
        ask("status", p.pid)
        path = socket_of(p.pid)
        silent = [connect(path) for _ in range(3)]
        half = connect(path)
        half.sendall(b"sto")
        vanished = [connect(path) for _ in range(20)]
        for s in vanished:
            s.sendall(b"snapsh")
            s.close()
        count = len(snapshots(tmp_path))
        start = time.monotonic()
        ask("status", p.pid)
        assert time.monotonic() - start < 1.5
        slow = connect(path)
        started = time.monotonic()
        try:
            for byte in b"set WINDOW=10s" * 20:
                slow.sendall(bytes([byte]))
                time.sleep(0.1)
                if time.monotonic() - started > 10:
                    break
        except OSError:
            pass
        assert time.monotonic() - started < 8, "one that goes on for ever is sent away"
        for s in (*silent, half):
            assert s.recv(10) == b"", "sent away without an answer"
        assert len(snapshots(tmp_path)) - count >= 10, "snapshots went on"
        lines, options = status_of(p.pid)
        assert lines["state"].startswith("recording") and options["WINDOW"][1] == "default"


def test_two_thousand_connections(tmp_path):
    with Python(tmp_path) as p:
        ask("status", p.pid)
        path = socket_of(p.pid)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        held, open_before = [], len(os.listdir(f"/proc/{p.pid}/fd"))
        for i in range(2000):
            s = connect(path)
            if i % 3 == 0:
                s.sendall(b"status\n" if i % 2 else b"sta")
            held.append(s)
            if i % 500 == 499:
                assert int(status_of(p.pid)[0]["control"].split()[0]) > 0
        assert len(os.listdir(f"/proc/{p.pid}/fd")) == open_before, "the program's descriptors are its own"
        for s in held:
            s.close()
        wait_until(lambda: len(os.listdir(f"/proc/{p.pid}/task/{helper_of(p.pid)}/fd")) <= 2, what="all closed")
        assert is_little(status_of(p.pid)[0]["lost"])


def helper_of(pid):
    """The thread that is not the program's: the newest."""
    return max(map(int, os.listdir(f"/proc/{pid}/task")))


def test_no_descriptor_of_the_programs(tmp_path):
    """The lowest free number is the program's, and it inherits none of ours to its children."""
    program = ("import os, subprocess, time\ntime.sleep(0.5)\nprint(sorted(os.listdir('/proc/self/fd')), flush=True)\n"
               "print(subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True, env={}, close_fds=False).stdout.split(), flush=True)\n"
               "while True: time.sleep(1)")
    env = environment(tmp_path, cpu=0)
    without = subprocess.Popen([PYTHON, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    under = subprocess.Popen([PYTHON, "-c", program], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        expected = [without.stdout.readline(), without.stdout.readline()]
        ask("status", under.pid)
        assert [under.stdout.readline(), under.stdout.readline()] == expected
    finally:
        for process in (without, under):
            process.kill()
            process.wait()


# ---- hostile surroundings


def private_tmp(prepare, *command):
    """A command in a mount namespace with an empty /tmp of its own (sticky, open to all), where `prepare` ran before."""
    script = f"mount -t tmpfs -o mode=1777 none /tmp && {prepare or ':'} && exec \"$@\""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *map(str, command)]


def can_unshare():
    return ROOT and subprocess.run(private_tmp("", "true"), capture_output=True).returncode == 0


@pytest.fixture
def work(request):
    """A directory outside of /tmp, which the tests below hide."""
    directory = pathlib.Path("/var/tmp") / f"perfprobe-test-{os.getpid()}-{request.node.name.replace('/', '_')[:60]}"
    directory.mkdir()
    library = BUILD / "lib"
    assert not str(library).startswith("/tmp/")
    yield directory
    shutil.rmtree(directory)


needs_mounts = pytest.mark.skipif(not can_unshare(), reason="needs root and mount namespaces")
REFUSED = "perfprobe: no control socket, so that perfprobe(1) does not reach this process: "
DIRECTORY = "the directory of the control sockets is not this user's alone"
PLACE = "something that is no socket of this user's stands at its place"


@needs_mounts
@pytest.mark.parametrize("prepare,sentence", [
    ("mkdir -m 700 /tmp/perfprobe-0 && chown 61238 /tmp/perfprobe-0", DIRECTORY),
    ("mkdir /tmp/perfprobe-0 && chmod 777 /tmp/perfprobe-0", DIRECTORY),
    ("mkdir -m 700 /tmp/elsewhere && ln -s /tmp/elsewhere /tmp/perfprobe-0", DIRECTORY),
    ("ln -s /nowhere /tmp/perfprobe-0", DIRECTORY),
    ("touch /tmp/perfprobe-0", DIRECTORY),
    ("chmod 777 /tmp", "/tmp has no sticky bit: others could exchange what stands in it"),
    ("mkdir -m 700 /tmp/perfprobe-0 && touch /tmp/victim && ln -s /tmp/victim /tmp/perfprobe-0/$$.sock", PLACE),
    ("mkdir -m 700 /tmp/perfprobe-0 && ln -s /tmp/new /tmp/perfprobe-0/$$.sock", PLACE),
    ("mkdir -m 700 /tmp/perfprobe-0 && echo text > /tmp/perfprobe-0/$$.sock", PLACE),
    ("mkdir -m 700 /tmp/perfprobe-0 && mkdir /tmp/perfprobe-0/$$.sock", PLACE)])
def test_what_others_have_made_is_not_used(work, prepare, sentence):
    """The program goes on, one sentence says why, and nothing was followed, changed or made."""
    tree = "find /tmp -printf '%p %y %l %s %U %m %n\\n' | sort"
    program = (f"import subprocess, time\nclean = {{'PATH': '/usr/bin:/bin'}}\ntree = lambda: subprocess.run(['sh', '-c', {tree!r}], env=clean, capture_output=True, text=True).stdout\n"
               "before = tree()\ntime.sleep(0.5)\nafter = tree()\nprint(before == after, flush=True)\nprint(after, flush=True)\ntime.sleep(60)")
    with Running(work, private_tmp(prepare, PYTHON, "-c", program), follow="exec") as r:
        wait_until(lambda: re.search("(?m)^(True|False)\n[^$]*/tmp", r.output()), what="the program's word")
        assert re.search(r"(?m)^True$", r.output()), r.output()
        assert r.output().count(REFUSED) == 1 and f"{REFUSED}{sentence}\n" in r.output(), r.output()
        done = perfprobe("status", r.process.pid)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, "the client does not believe it either"
        data = info(snapshots_after(r, work)[-1])
        assert data["lost"]["control.unreachable"] == 1


def snapshots_after(running, directory):
    running.stop()
    return snapshots(directory, "python3.*.exit.snap")


@needs_mounts
def test_the_client_does_not_follow_links_out_of_a_container(work):
    """A container's root that leads our root's client to a socket out here."""
    usable_by_all(work)
    with Python(work) as p:
        ask("status", p.pid)
        bait = socket_of(p.pid)
        os.rename(bait, work / "bait.sock")
        prepare = f"mkdir -m 700 /tmp/perfprobe-0 && ln -s {work}/bait.sock /tmp/perfprobe-0/$$.sock"
        with Running(work, private_tmp(prepare, "sleep", "60")) as r:
            time.sleep(0.3)
            assert "control socket" in refused("stop", r.process.pid)
        (work / "bait.sock").unlink()
        assert status_of(p.pid)[0]["state"].startswith("recording"), "and ours made itself a new one"


@needs_mounts
@pytest.mark.parametrize("pid_namespace", [True, False])
def test_into_a_container(work, pid_namespace):
    """By the number that the process has out here; the path that is told is the one it has out here."""
    inner = "echo started > /tmp/started; exec \"$@\""
    command = private_tmp("mkdir /tmp/profiles", *(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"] if pid_namespace else []),
                          "sh", "-c", inner, "sh", "env", f"LD_PRELOAD={LIBRARY}", "PERFPROBE_DIR=/tmp/profiles", PYTHON, "-c", IDLE)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=plain())
    pid = process.pid
    try:
        assert process.stdout.readline() == "ready\n"
        if pid_namespace:
            pid = int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())
        path = ask("snapshot", pid).strip()
        number = 1 if pid_namespace else pid
        root = f"/proc/{pid}/root"
        assert path == f"{root}/tmp/profiles/python3.{number}.0001.request.snap"
        assert info(path)["pid"] == number
        assert status_of(pid)[0]["process"] == f"{number} python3"
        ask("stop", pid)
        assert status_of(pid)[0]["state"].startswith("stopped")
        assert re.search(rf"(?m)^ *{pid} +0 +yes ", ask("list"))
        assert not socket_of(number).exists() or number == 1, "none was made out here"
    finally:
        process.kill()
        process.wait()


@needs_root
def test_into_a_user_namespace(tmp_path):
    """The user has another number in there, and root of out here has none at all."""
    usable_by_all(tmp_path)
    command = ["unshare", "--user", "--map-root-user", PYTHON, "-c", IDLE]
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"], **identity(NOBODY)).returncode:
        pytest.skip("user namespaces are not allowed here")
    pathlib.Path("/tmp/perfprobe-0").mkdir(mode=0o700, exist_ok=True)
    with Running(tmp_path, command, user=NOBODY, follow="exec", every="300ms") as r:
        wait_until(lambda: snapshots(tmp_path, "python3.*.interval.snap"), what="it was tried")
        # In there it is user 0, whose directory out here is the real root's: not used, and nobody in there is to blame.
        assert f"not user {NOBODY}'s alone; not trusted" in refused("status", r.process.pid)
        r.stop()
        assert r.output() == "ready\n"
        assert info(one(tmp_path, "python3.*.exit.snap"))["lost"]["control.unreachable"] == 1
    if not can_unshare():
        return
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o mode=1777 none /tmp && exec \"$@\"", "sh", PYTHON, "-c", IDLE]
    other = usable_by_all(pathlib.Path(subprocess.check_output(["mktemp", "-d", "-p", "/var/tmp"], text=True).strip()))
    try:
        with Running(other, command, user=NOBODY, follow="exec") as r:
            wait_until(lambda: "ready" in r.output(), what="ready")
            for user in (None, NOBODY):
                assert status_of(r.process.pid, user=user)[0]["process"] == f"{r.process.pid} python3"
            assert "is user" in refused("status", r.process.pid, user=61239)
    finally:
        shutil.rmtree(other)


@needs_root
def test_containers_that_share_tmp(tmp_path):
    """Each has a process 1; each is reached."""
    processes, pids = [], []
    stale = socket_of(1)
    try:
        for n in (1, 2, 3):
            command = ["unshare", "--pid", "--fork", "--kill-child", "env", f"LD_PRELOAD={LIBRARY}", f"PERFPROBE_DIR={tmp_path}", PYTHON, "-c", IDLE]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain()))
            assert processes[-1].stdout.readline() == "ready\n"
            pids.append(int(pathlib.Path(f"/proc/{processes[-1].pid}/task/{processes[-1].pid}/children").read_text()))
        wait_until(lambda: (stale.parent / "1.3.sock").exists(), what="three names")
        ask("stop", pids[1])
        states = [status_of(pid)[0]["state"].split()[0] for pid in pids]
        assert states == ["recording", "stopped,", "recording"]
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
    for name in ("1.sock", "1.2.sock", "1.3.sock"):
        (stale.parent / name).unlink(missing_ok=True)  # process 1 of out here is alive, so nobody takes these away


# ---- what the program does


def test_short_processes_make_no_socket(tmp_path):
    """Nor look whether they could: no call of the socket's, and none that names its directory."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-o", str(trace), "-E", f"LD_PRELOAD={LIBRARY}", "-E", f"PERFPROBE_DIR={tmp_path}", "true"], timeout=60)
    assert done.returncode == 0
    text = trace.read_text()
    assert "clone" in text and "libperfprobe" in text
    assert not re.search(r"\b(socket|bind|listen|connect|mkdirat|mkdir)\(", text) and "/tmp/perfprobe-" not in text, text


def test_ends_and_replacements(tmp_path):
    """Every end takes the socket away, SIGKILL excepted: there the next process of the user does."""
    for how in ("return", "_exit", "exec"):
        program = {"return": "", "_exit": "import os; os._exit(0)", "exec": "import os; os.execv('/bin/sleep', ['sleep', '30'])"}[how]
        process = subprocess.Popen([PYTHON, "-c", "import sys, time\nsys.stdin.readline()\n" + program], env=environment(tmp_path), stdin=subprocess.PIPE)
        ask("status", process.pid)
        assert socket_of(process.pid).exists()
        process.stdin.write(b"\n")
        process.stdin.close()
        if how == "exec":
            wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep"), what="exec")
            assert "does not run under perfprobe" in refused("status", process.pid)
            process.kill()
        process.wait(10)
        assert not socket_of(process.pid).exists(), how
    with Python(tmp_path) as p:
        ask("status", p.pid)
        p.stop(signal.SIGKILL)
    assert socket_of(p.pid).exists()
    assert "there is no process" in refused("status", p.pid)
    kept = [socket_of(2**22 + 5), socket_of("notes")]  # a number that no process has; and what is no socket of ours to take away
    for path in kept:
        path.touch()
    with Python(tmp_path_of(tmp_path, "next")) as q:
        ask("status", q.pid)
        assert not socket_of(p.pid).exists()
        assert all(path.exists() for path in kept)
    for path in kept:
        path.unlink()


def test_a_program_that_is_replaced_by_one_that_is_recorded(tmp_path):
    program = "import os, sys, time\nsys.stdin.readline()\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([PYTHON, "-c", program], env=environment(tmp_path, follow="both"), stdin=subprocess.PIPE)
    try:
        assert status_of(process.pid)[0]["profiles"].startswith("0 written")
        process.stdin.write(b"\n")
        process.stdin.close()
        wait_until(lambda: b"sleep(60)" in pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes(), what="exec")
        assert ".request.snap" in ask("snapshot", process.pid)
    finally:
        process.kill()
        process.wait()


def test_forked_children_have_their_own(tmp_path):
    program = """
import os, sys, time
time.sleep(0.3)
child = os.fork()
if child == 0:
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""
    with Python(tmp_path, program) as p:
        child = int(p.output())
        try:
            inode = os.lstat(socket_of(p.pid)).st_ino
            wait_until(lambda: socket_of(child).exists(), what="the child's socket")
            ask("stop", child)
            assert status_of(child)[0]["state"].startswith("stopped")
            assert status_of(p.pid)[0]["state"].startswith("recording")
            assert f".{child}.0001.request.snap" in ask("snapshot", child)
            assert os.lstat(socket_of(p.pid)).st_ino == inode
        finally:
            os.kill(child, signal.SIGTERM)
        wait_until(lambda: not socket_of(child).exists(), what="the child's is gone")
        assert f".{p.pid}.0001.request.snap" in ask("snapshot", p.pid)


def test_a_forked_child_that_makes_a_thread_has_its_own(tmp_path):
    """Though it has used no CPU time to speak of. A daemon begins so."""
    program = ("import os, threading, time\nif os.fork() == 0:\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
               "    print(os.getpid(), flush=True)\n    time.sleep(60)\nos.wait()")
    with Python(tmp_path, program, cpu=0) as p:
        child = int(p.output())
        try:
            assert f".{child}.0001.request.snap" in ask("snapshot", child)
        finally:
            os.kill(child, signal.SIGTERM)


@pytest.mark.parametrize("wait", ["time.sleep(600)", "select.epoll().poll()", "os.read(0, 1)", "select.select([0], [], [])"])
def test_an_idle_forked_child_is_called(tmp_path, wait):
    """No CPU time, no thread: the client's signal has it make its socket, and the program does not notice."""
    program = ("import os, select, signal, time\nr, w = os.pipe()\nos.dup2(r, 0)\nchild = os.fork()\n"
               f"if child == 0:\n    {wait}\n    os._exit(3)\nprint(child, flush=True)\nprint(os.waitpid(child, 0)[1], flush=True)\n")
    with Python(tmp_path, program, cpu=100) as p:
        child = int(p.output())
        time.sleep(1.2)
        assert not socket_of(child).exists()
        assert re.search(rf"^ *{child} +\d+ +on call ", ask("list"), re.M)
        assert f".{child}.0001.request.snap" in ask("snapshot", child)
        assert re.search(rf"^ *{child} +\d+ +yes ", ask("list"), re.M)
        status_of(child)
        assert "State:\tS" in pathlib.Path(f"/proc/{child}/status").read_text()
        assert p.output().count("\n") == 1
        os.kill(child, signal.SIGTERM)
        wait_until(lambda: p.output().count("\n") == 2, what="its end")
        assert p.output().splitlines()[1] == str(int(signal.SIGTERM))


def test_children_that_are_not_followed_have_none(tmp_path):
    program = "import os, time\ntime.sleep(0.3)\nchild = os.fork()\nif child: print(child, flush=True)\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\ntime.sleep(60)"
    with Python(tmp_path, program, follow="none") as p:
        child = int(p.output())
        try:
            assert "offers no control socket" in refused("status", child)
            ask("status", p.pid)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_removed_socket_comes_back(tmp_path):
    with Python(tmp_path) as p:
        ask("status", p.pid)
        socket_of(p.pid).unlink()
        wait_until(socket_of(p.pid).exists, what="a new one")
        assert is_little(status_of(p.pid)[0]["lost"])


@needs_root
@pytest.mark.parametrize("how", ["libc", "past_libc"])
def test_a_program_that_gives_up_root(tmp_path, how):
    """The socket moves to the new user's directory; past libc it is found where it was made, and moves then."""
    usable_by_all(tmp_path)
    drop = {"libc": "os.setgid(65534); os.setuid(65534)",
            "past_libc": "import ctypes; ctypes.CDLL(None).syscall(117, 65534, 65534, 65534)"}[how]  # setresuid, x86-64
    if how == "past_libc" and os.uname().machine != "x86_64":
        pytest.skip("the number of a system call")
    program = f"import os, sys, time\nprint('ready', flush=True)\nsys.stdin.readline()\n{drop}\nprint('dropped', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([PYTHON, "-c", program], env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        ask("status", process.pid)
        assert socket_of(process.pid, 0).exists()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "dropped\n"
        path = ask("snapshot", process.pid).strip()
        assert os.stat(path).st_uid == NOBODY
        wait_until(socket_of(process.pid, NOBODY).exists, what="the socket of the new user")
        ask("status", process.pid, user=NOBODY)
        ask("status", process.pid)
        if how == "libc":
            assert not socket_of(process.pid, 0).exists()
    finally:
        process.kill()
        process.wait()
        for user in (0, NOBODY):
            socket_of(process.pid, user).unlink(missing_ok=True)


@needs_root
def test_a_program_that_changes_its_root(tmp_path):
    """With a /tmp in there it moves there; without, it is reached where it was."""
    for with_tmp in (True, False):
        root = tmp_path_of(tmp_path, f"root{with_tmp}")
        if with_tmp:
            (root / "tmp").mkdir()
            os.chmod(root / "tmp", 0o1777)
        (root / "profiles").mkdir()
        program = f"import os, time\ntime.sleep(0.3)\nos.chroot({str(root)!r})\nos.chdir('/')\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)"
        env = environment("/profiles")
        process = subprocess.Popen([PYTHON, "-c", program], env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline() == "ready\n"
            for _ in range(2):
                path = ask("snapshot", process.pid).strip()
                # without /proc in there it does not know its own name
                inside = f"/proc/{process.pid}/root"
                assert re.match(rf"{inside}/profiles/(python3|unknown)\.{process.pid}\.000\d\.request\.snap$", path)
                assert info(path)["pid"] == process.pid
                time.sleep(1.2)
            assert (root / f"tmp/perfprobe-0/{process.pid}.sock").exists() == with_tmp
        finally:
            process.kill()
            process.wait()
            socket_of(process.pid).unlink(missing_ok=True)
    shutil.rmtree("/profiles", ignore_errors=True)  # the live file's, made before the root was changed


@users
def test_a_program_that_is_not_dumpable(tmp_path, user):
    usable_by_all(tmp_path)
    program = "import ctypes\nassert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0\n" + IDLE
    with Python(tmp_path, program, user=user) as p:
        path = ask("snapshot", p.pid, user=user).strip()
        assert info(path)["pid"] == p.pid
        assert re.search(rf"(?m)^ *{p.pid} +\d+ +yes ", ask("list", user=user))


def limited(number):
    return ["sh", "-c", f"ulimit -n {number} && exec \"$@\"", "sh"]


@pytest.mark.parametrize("number", [8, 12, 40])
def test_few_descriptors(tmp_path, number):
    with Python(tmp_path, prefix=limited(number), follow="exec") as p:
        assert info(ask("snapshot", p.pid).strip())["pid"] == p.pid
        held = [connect(socket_of(p.pid)) for _ in range(6)]
        assert info(ask("snapshot", p.pid).strip())["lost"]["control.unreachable"] == 0
        for s in held:
            s.close()


def test_no_descriptors_for_it(tmp_path):
    """So few that the profile needs them: no socket, no word of that, but counted. (The program's own files may take the
    last two just when the live file wants them: that is told.)"""
    with Python(tmp_path, prefix=limited(5), every="200ms", follow="exec") as p:
        assert "offers no control socket" in refused("status", p.pid)
        wait_until(lambda: snapshots(tmp_path, "*.interval.snap"), what="a snapshot at the interval")
        said = p.output().splitlines()
        assert [line for line in said if not line.startswith("perfprobe: no live file in ")] == ["ready"]
        assert info(snapshots(tmp_path, "*.interval.snap")[-1])["lost"]["control.unreachable"] == 1


SECCOMP = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
arch = {'x86_64': 0xc000003e, 'aarch64': 0xc00000b7}[os.uname().machine]
call = {'x86_64': 41, 'aarch64': 198}[os.uname().machine]   # socket
def insn(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
answer = {'errno': 0x00050000 | 13, 'kill': 0x80000000}[sys.argv[1]]
prog = (insn(0x20, 0, 0, 4) + insn(0x15, 0, 3, arch) + insn(0x20, 0, 0, 0) + insn(0x15, 0, 1, call) + insn(0x06, 0, 0, answer) + insn(0x06, 0, 0, 0x7fff0000))
buf = ctypes.create_string_buffer(prog)
fprog = struct.pack('HxxxxxxQ', len(prog) // 8, ctypes.addressof(buf))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, fprog, 0, 0) == 0
env = dict(os.environ, LD_PRELOAD=sys.argv[2])
os.execve(sys.argv[3], sys.argv[3:], env)
"""


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("answer", ["errno", "kill"])
def test_a_filter_that_refuses_sockets(tmp_path, answer, verbose):
    """Even one that kills who asks: the program goes on. Nothing is said unless asked for; it is counted."""
    env = environment(tmp_path, every="200ms", verbose=verbose)
    del env["LD_PRELOAD"]
    log = open(tmp_path / "log", "w+")
    process = subprocess.Popen([PYTHON, "-c", SECCOMP, answer, str(LIBRARY), PYTHON, "-c", IDLE], env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: snapshots(tmp_path, "*.interval.snap"), what="a snapshot")
        assert "offers no control socket" in refused("status", process.pid)
        assert process.poll() is None
        data = info(snapshots(tmp_path, "*.interval.snap")[-1])
        assert data["lost"]["control.unreachable"] == 1
        text = (tmp_path / "log").read_text()
        if verbose:
            assert REFUSED + "Permission denied\n" in text
        else:
            assert text == "ready\n"
    finally:
        process.kill()
        process.wait()
        log.close()


def test_requests_while_the_program_forks_and_allocates(tmp_path):
    """Hundreds of requests to a busy program whose children come and go: each answered, nothing left behind."""
    before = set(os.listdir(socket_of(0).parent)) if socket_of(0).parent.exists() else set()
    with Running(tmp_path, [VICTIMS / "victim_hostile_process", "until_ended", "several"], heap="full", cpu=999) as r:
        wait_until(lambda: "ready" in r.output(), what="ready")
        for i in range(30):
            ask("status", r.process.pid)
            ask("set", r.process.pid, f"WINDOW={10 + i}s")
            if i % 10 == 0:
                ask("snapshot", r.process.pid)
                ask("stop", r.process.pid)
                ask("start", r.process.pid)
        start = time.monotonic()
        assert r.stop() == -signal.SIGTERM and time.monotonic() - start < 3
    assert {n for n in os.listdir(socket_of(0).parent) if n.startswith(f"{r.process.pid}.")} <= before
    assert len(snapshots(tmp_path, "*.request.snap")) == 3 and len(snapshots(tmp_path, "*.exit.snap")) == 1

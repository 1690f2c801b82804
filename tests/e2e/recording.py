"""Running programs under the library and reading what it wrote, for the end-to-end tests.

PERFPROBE_BUILD names the build directory (default: build/release)."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PERFPROBE_BUILD", ROOT / "build" / "release")).resolve()
LIBRARY = BUILD / "lib" / "libperfprobe.so"
ANALYZE = BUILD / "bin" / "probe-analyze"
VICTIMS = BUILD / "victims"


def environment(directory, **options):
    """The environment of a recorded program; options are PERFPROBE_* without the prefix, in lower case."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PERFPROBE_") and k != "LD_PRELOAD"}
    env["PERFPROBE_DIR"] = str(directory)
    env["LD_PRELOAD"] = str(LIBRARY)
    for name, value in options.items():
        env["PERFPROBE_" + name.upper()] = str(value)
    return env


def usable_by_all(directory):
    """A directory that an ordinary user can reach and write."""
    for parent in [directory, *directory.parents]:
        if not os.stat(parent).st_mode & stat.S_IXOTH and os.access(parent, os.W_OK):
            os.chmod(parent, os.stat(parent).st_mode | stat.S_IXOTH)
    os.chmod(directory, 0o777)
    return directory


def identity(user):
    """Arguments of subprocess for running as that uid alone; None: as we are."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def record(directory, command, timeout=120, check=True, user=None, **options):
    """Runs the command to its end under the library; returns the finished process."""
    done = subprocess.run([str(c) for c in command], env=environment(directory, **options), timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, **identity(user))
    if check:
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def where_it_stands(pid):
    """Each thread of a process and of its descendants: state, signals that wait, where in the kernel."""
    found = []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*")):
        words = {}
        for name in ("status", "wchan", "syscall", "children"):
            with contextlib.suppress(OSError):
                words[name] = (task / name).read_text()
        status = re.findall(r"^(?:Name|State|TracerPid|SigPnd|ShdPnd|SigBlk|SigCgt):.*$", words.get("status", ""), re.M)
        found.append(f"{task}: {' '.join(' '.join(status).split())} in {words.get('wchan')} ({words.get('syscall', '').strip()})")
        found += [where_it_stands(int(child)) for child in words.get("children", "").split()]
    return "\n".join(found)


class Running:
    """A server under the library; ends with the `with` block, by SIGTERM, SIGKILL after ten seconds."""

    def __init__(self, directory, command, user=None, cwd=None, **options):
        self.log = open(pathlib.Path(directory) / "output.log", "w+")
        self.process = subprocess.Popen([str(c) for c in command], env=environment(directory, **options), cwd=cwd, **identity(user),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def output(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                print(f"signal {int(how)} did not end {self.process.pid} within 10 s:\n{where_it_stands(self.process.pid)}")
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode

    def __exit__(self, *_):
        self.stop()
        self.log.close()


def wait_until(condition, seconds=10, what="the condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not hold within {seconds} s")


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    assert not missing, f"not installed: {missing} (scripts/setup test)"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def port_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def snapshots(directory, pattern="*.snap"):
    return sorted(pathlib.Path(directory).glob(pattern))


def one(directory, pattern="*.snap"):
    found = snapshots(directory, pattern)
    assert len(found) == 1, f"{pattern} in {directory}: {[f.name for f in found]}"
    return found[0]


def analyze(*args, check=True):
    done = subprocess.run([str(ANALYZE), *map(str, args)], capture_output=True, text=True, timeout=120)
    if check:
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stderr}"
    return done


def info(path):
    return json.loads(analyze("info", "--json", path).stdout)


def report(path, metric):
    return json.loads(analyze("report", "--json", "--metric", metric, path).stdout)


def by_function(path, metric, innermost=()):
    """Sum of values by the innermost frame that is not in `innermost`: function name -> value."""
    sums = {}
    for stack in report(path, metric)["stacks"]:
        frames = [f for f in stack["frames"] if f not in innermost]
        name = frames[0] if frames else "?"
        sums[name] = sums.get(name, 0) + stack["value"]
    return sums


def inclusive(path, metric):
    """Function name -> sum of the values of the stacks it is on, and the total."""
    data = report(path, metric)
    sums = {}
    for stack in data["stacks"]:
        for name in set(stack["frames"]):
            sums[name] = sums.get(name, 0) + stack["value"]
    return sums, data["total"]


def check_known(path, stdout):
    """The profile of victim_known in full mode has what that printed: allocations, bytes, live blocks and bytes by function."""
    figures = {m: by_function(path, m) for m in ("alloc-count", "alloc", "live-count", "live")}
    lines = stdout.split("\n")[:-1]
    assert len(lines) == 9
    for line in lines:
        name, *expected = line.split()
        assert [of.get(name, 0) for of in figures.values()] == [int(e) for e in expected], name


numbers = itertools.count()


@contextlib.contextmanager
def control_group():
    """A memory control group of our own, its directory and the name of its limit."""
    for root, limit, used in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
                              ("/sys/fs/cgroup", "memory.max", "memory.current")):
        directory = pathlib.Path(root) / f"perfprobe-test-{os.getpid()}-{next(numbers)}"
        try:
            directory.mkdir()
        except OSError:
            continue
        try:
            if (directory / limit).exists():
                yield directory, limit, used
                return
        finally:
            with contextlib.suppress(OSError):
                directory.rmdir()
    pytest.skip("no memory control group can be made here")

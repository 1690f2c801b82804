"""top in a terminal (tmux drives it and reads the screen), as a page and as JSON."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import recording

NUMBERS = itertools.count()
PROGRAM = """import json, time
kept = []
while True:
    for i in range(10): kept.append(json.dumps({str(k): [k] * 9 for k in range(60)}))
    time.sleep(0.01)
"""


class Terminal:
    """A tmux of our own, without anybody's configuration."""

    def __init__(self, directory, command, columns=100, rows=24, **env):
        self.tmux = ["tmux", "-S", str(directory / f"tmux-{next(NUMBERS)}"), "-f", "/dev/null"]
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "screen", **env}
        shell = " ".join(map(str, command)) + "; echo left with $?; sleep 60"
        subprocess.run([*self.tmux, "new-session", "-d", "-x", str(columns), "-y", str(rows), shell], env=env, check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.tmux, "kill-server"], check=False)

    def screen(self, *options):
        return subprocess.run([*self.tmux, "capture-pane", "-p", *options], capture_output=True, text=True, check=True).stdout.split("\n")

    def keys(self, *keys):
        subprocess.run([*self.tmux, "send-keys", *keys], check=True)

    def resize(self, columns, rows):
        subprocess.run([*self.tmux, "resize-window", "-x", str(columns), "-y", str(rows)], check=True)

    def until(self, words):
        recording.wait_until(lambda: re.search(words, "\n".join(self.screen())), 20, f"{words!r} on the screen")
        return self.screen()


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("top")
    recording.need("tmux", "/usr/bin/python3")
    with recording.Running(directory, ["/usr/bin/python3", "-c", PROGRAM], heap_interval="16k") as running:
        recording.wait_until(lambda: recording.snapshots(directory, "*.live") and
                             recording.analyze("top", running.process.pid, "--json", check=False).returncode == 0, 20, "a live file")
        yield running


def test_page_and_json(busy):
    pid = busy.process.pid
    seen = json.loads(recording.analyze("top", pid, "--json").stdout)
    assert (seen["pid"], seen["comm"], seen["note"]) == (pid, "python3", "")
    assert 0 < seen["cpu_percent"] < 150 and seen["rss_bytes"] > 1 << 20 and seen["threads"] >= 1
    assert sum(f["self"] for f in seen["functions"]) == seen["window_samples"] > 0
    assert all(f["total"] >= f["self"] for f in seen["functions"])
    assert sum(f["live_bytes"] for f in seen["allocators"]) == seen["heap"]["live_bytes"] > 0
    assert seen["heap"]["growth_bytes_per_min"] > 0 and seen["heap"]["growth_over_ns"] > 0
    grown = max(seen["allocators"], key=lambda f: f["growth_bytes_per_min"])
    assert grown["growth_bytes_per_min"] == pytest.approx(seen["heap"]["growth_bytes_per_min"], rel=0.2)
    page = recording.analyze("top", pid, "-n", "3").stdout
    assert "\x1b" not in page and page.startswith(f"python3 (pid {pid})") and "more" in page
    for title in ("SELF", "GROWTH/MIN", "FUNCTION", "ALLOCATED BY"):
        assert title in page
    # The file alone says the same of its moment.
    file = recording.one(busy.log.name.rsplit("/", 1)[0], "*.live")
    assert json.loads(recording.analyze("top", file, "--json").stdout)["heap"]["live_bytes"] >= seen["heap"]["live_bytes"]


def test_screen(busy, tmp_path):
    pid = busy.process.pid
    with Terminal(tmp_path, [recording.ANALYZE, "top", "--interval", "200ms", pid]) as t:
        first = t.until("_PyEval_EvalFrameDefault")
        assert first[0].startswith(f"python3 (pid {pid})  recorded for 0:00:") and first[1].startswith("CPU ")
        assert re.match(r"heap .* live in \d+ blocks", first[2]) and first[4].startswith("lost: ")
        assert re.match(r" +\*SELF +TOTAL +SELF TIME +FUNCTION", first[6]) and "F10Quit" in first[23]
        shares = [float(line.split()[0]) for line in first[7:23] if line.strip()]
        assert shares == sorted(shares, reverse=True) and shares[0] > 0
        t.keys("F6")
        assert re.match(r" +SELF +\*TOTAL", t.until(r"\*TOTAL")[6])
        t.keys("I")
        t.until(r"\^TOTAL")
        t.keys("m")
        t.until(r"GROWTH/MIN[^$]*\+\d")
        t.keys("F4")
        t.until("ROUTE")
        t.keys("?")
        t.until("this help")
        t.keys("Escape", "c")
        t.resize(40, 12)
        small = t.until("…")
        assert all(len(line) <= 40 for line in small) and "SELF TIME" not in "\n".join(small)
        t.resize(24, 5)
        t.until(r"\ASELF|\*SELF|\^TOTAL|python3 \(pid")
        t.keys("p")
        t.resize(100, 24)
        stands = t.until("PAUSED")
        time.sleep(0.6)
        assert t.screen() == stands
        t.keys("q")
        left = t.until("left with 0")
        assert "F10Quit" not in "\n".join(left)  # the page that was there before
    with Terminal(tmp_path, [recording.ANALYZE, "top", pid], NO_COLOR="1") as t:
        t.until("FUNCTION")
        assert not re.search(r"\x1b\[[0-9;]*[1-9]", "\n".join(t.screen("-e")))
        t.keys("C-c")
        t.until("left with 0")


def test_the_last_picture_stays(tmp_path):
    with recording.Running(tmp_path, ["/usr/bin/python3", "-c", PROGRAM]) as running:
        recording.wait_until(lambda: recording.snapshots(tmp_path, "*.live"), 10, "a live file")
        with Terminal(tmp_path, [recording.ANALYZE, "top", "--interval", "100ms", running.process.pid]) as t:
            t.until("_PyEval_EvalFrameDefault")
            running.stop(signal.SIGKILL)
            last = t.until("THE PROCESS HAS ENDED")
            assert last[0].startswith("python3 (pid ") and "_PyEval_EvalFrameDefault" in "\n".join(last)
            time.sleep(0.3)
            assert t.screen() == last
            t.keys("q")
            t.until("left with 0")
    done = recording.analyze("top", running.process.pid, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "there is no process" in done.stderr
    page = recording.analyze("top", recording.one(tmp_path, "*.live")).stdout
    assert page.startswith("python3 (pid ")


@pytest.mark.parametrize("arguments, status, words", [
    ([str(os.getpid())], 1, "has no live file"), (["0"], 2, "is no process"), (["99999999999"], 2, "is no process"), ([], 2, "needs PID"),
    (["/nowhere"], 1, "cannot open"), ([sys.executable], 1, "not a live file"), (["1", "--interval", "1ms"], 2, "--interval is between"),
])
def test_wrong_usage(arguments, status, words):
    done = recording.analyze("top", *arguments, check=False)
    assert (done.returncode, done.stdout) == (status, "") and words in done.stderr and done.stderr.count("\n") == 1, done.stderr

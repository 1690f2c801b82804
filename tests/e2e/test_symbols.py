"""Where names come from: the symbol cache, and every place that debug information may be in."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import recording


def analyze(*arguments, cache=None, code=0, **env):
    done = subprocess.run([str(recording.ANALYZE), *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PERFPROBE_SYMBOL_CACHE": str(cache) if cache else "off", **env})
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """Profiles of programs that have little in common: kernel frames, inlined calls, no symbols, code made at run time."""
    recording.need("jq", "git", "node")
    found = []
    for name, command in [
        ("python", [sys.executable, "-c", "import json\nfor _ in range(200): json.dumps(list(range(1000)))"]),
        ("jq", ["jq", "-n", "[range(50000)]|map(tostring)|length"]),
        ("git", ["git", "-C", str(recording.ROOT), "log", "--stat", "-5"]),
        ("node", ["node", "-e", "let s=0;for(let i=0;i<2e7;i++)s+=i%7"]),
    ]:
        directory = tmp_path_factory.mktemp(name)
        recording.record(directory, command, check=False, cpu_hz=999)
        found.append(recording.one(directory))
    return found


def test_the_cache_changes_nothing(profiles, tmp_path):
    """With an empty cache, a filled one, one that another profile has filled in part: every byte is as without one."""
    cache = tmp_path / "cache"
    for profile in profiles:
        for command in (["info", "--json"], ["report", "--json", "--full-frames"], ["report", "--json", "--metric", "live"]):
            plain = analyze(*command, "--no-symbol-cache", profile, cache=cache)
            for _ in range(2):
                assert analyze(*command, profile, cache=cache) == plain, command
    kept = list(cache.glob("*.syms"))
    assert len(kept) > 5 and not list(cache.glob(".tmp-*"))
    for path in kept:
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_bytes(b"PPsyms01 and then something else")
    again = analyze("report", "--json", "--full-frames", profiles[0], cache=cache)
    assert again == analyze("report", "--json", "--full-frames", profiles[0])
    assert any(path.stat().st_size > 100 for path in kept), "what was damaged is not made whole"


def test_a_cache_that_cannot_be(profiles, tmp_path):
    """Nowhere to keep it is no failure, and leaves nothing behind."""
    plain = analyze("report", "--json", profiles[1])
    (tmp_path / "file").write_text("no directory")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for place in (tmp_path / "file", tmp_path / "not" / "there", open_to_all, "/proc/self"):
        assert analyze("report", "--json", profiles[1], cache=place) == plain
    assert not list(open_to_all.iterdir())

"""Where names come from: the symbol cache, and every place that debug information may be in."""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

import recording

pytestmark = pytest.mark.untimed


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


# ---- where debug information may be ---------------------------------------------------------------------------------

SOURCE = """
#include <time.h>
static volatile unsigned long sink;
static inline __attribute__((always_inline)) unsigned long mix(unsigned long x)
{
	for (int i = 0; i < 4096; i++) /* line 6 */
		x = x * 6364136223846793005ul + (x >> 29);
	return x;
}
static __attribute__((noinline)) void crunch(void)
{
	sink = mix(sink);
}
int main(void)
{
	while (clock() < CLOCKS_PER_SEC / 4)
		crunch();
	return 0;
}
"""


def tool(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


class Recorded:
    """A profile of a program whose files are then elsewhere: `full` is the program with all it had."""

    def __init__(self, directory):
        self.source = directory / "program.c"
        self.source.write_text(SOURCE)
        self.path = directory / "bin" / "program"
        self.path.parent.mkdir()
        self.full = directory / "full"
        tool("gcc", "-O2", "-g", "-Wl,--build-id=sha1", self.source, "-o", self.path)
        recording.record(directory, [self.path], cpu_hz=499)
        self.profile = recording.one(directory)
        self.path.rename(self.full)
        note = tool("readelf", "-n", self.full)
        self.id = note.split("Build ID:")[1].split()[0]

    def place(self, root, *steps):
        """The program, stripped, where it was below `root`; steps are what else is done to it."""
        target = root / str(self.path)[1:]
        target.parent.mkdir(parents=True)
        tool("objcopy", "--strip-all", *steps, self.full, target)
        return target

    def debug_file(self, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        tool("objcopy", "--only-keep-debug", self.full, target)
        return target

    def build_id_path(self, root):
        return root / ".build-id" / self.id[:2] / (self.id[2:] + ".debug")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    recording.need("gcc", "objcopy", "dwz", "xz")
    return Recorded(tmp_path_factory.mktemp("recorded"))


def module_of(recorded, *options, **env):
    [module] = [m for m in json.loads(analyze("info", "--json", *options, recorded.profile, **env))["modules"]
                if m["path"] == str(recorded.path)]
    return module


def stacks_of(recorded, *options, **env):
    return json.loads(analyze("report", "--json", "--full-frames", *options, recorded.profile, **env))["stacks"]


def everything_is_known(recorded, *options, **env):
    """The static function, the call inlined into it, and the line; nothing of the program without a name."""
    module = module_of(recorded, *options, **env)
    assert module["symbols_kind"] == "debug" and module["why"] == "", module
    seen = [s["frames"] for s in stacks_of(recorded, *options, **env)]
    assert any([f["function"] for f in frames][:2] == ["mix", "crunch"] and frames[0]["line"] in (6, 7) and
               frames[0]["file"].endswith("program.c") for frames in seen), seen[:3]
    assert not any(f["function"].startswith("program+0x") for frames in seen for f in frames)


def test_nothing_there(recorded, tmp_path):
    module = module_of(recorded)
    assert module["symbols_kind"] == "none" and module["wanted_file"] == str(recorded.path)
    recorded.place(tmp_path)
    module = module_of(recorded, "--sysroot", tmp_path)
    assert module["symbols_kind"] == "dynsym"
    assert module["wanted_file"] == f"/usr/lib/debug/.build-id/{recorded.id[:2]}/{recorded.id[2:]}.debug"


@pytest.mark.parametrize("where", ["beside", ".debug", "/usr/lib/debug"])
def test_debuglink(recorded, tmp_path, where):
    debug = recorded.debug_file(tmp_path / "any.name")
    target = recorded.place(tmp_path, f"--add-gnu-debuglink={debug}")
    place = {"beside": target.parent, ".debug": target.parent / ".debug",
             "/usr/lib/debug": tmp_path / "usr/lib/debug" / str(recorded.path.parent)[1:]}[where]
    place.mkdir(parents=True, exist_ok=True)
    debug.rename(place / debug.name)
    everything_is_known(recorded, "--sysroot", tmp_path)


def test_debug_dir_map_and_sysroot(recorded, tmp_path):
    """By build-id in a named directory, with the program mapped, below a sysroot, and with no program at all."""
    recorded.debug_file(recorded.build_id_path(tmp_path / "dbg"))
    program = recorded.place(tmp_path / "elsewhere")
    everything_is_known(recorded, "--debug-dir", tmp_path / "dbg", "--map", f"{recorded.path.parent}={program.parent}")
    everything_is_known(recorded, "--debug-dir", tmp_path / "dbg", "--sysroot", tmp_path / "elsewhere")
    everything_is_known(recorded, "--debug-dir", tmp_path / "dbg")
    flat = tmp_path / "flat"
    recorded.debug_file(flat / "program.debug")
    everything_is_known(recorded, "--debug-dir", flat)


@pytest.mark.parametrize("view", ["text", "json", "folded", "flamegraph", "html"])
def test_every_form_of_a_difference_finds_names(recorded, tmp_path, view):
    """What says where names are holds for each form of diff, and so does what says that nothing is kept."""
    recorded.debug_file(recorded.build_id_path(tmp_path / "dbg"))
    cache = tmp_path / "cache"
    command = ["diff", "--format", view, "--metric", "cpu", recorded.profile, recorded.profile]
    if view != "text":  # which shows no stack that is as it was
        assert "crunch" not in analyze(*command)
        assert "crunch" in analyze(*command, "--debug-dir", tmp_path / "dbg")
    analyze(*command, "--no-symbol-cache", cache=cache)
    assert not cache.exists(), "kept, although --no-symbol-cache was given"
    analyze(*command, cache=cache)
    assert list(cache.iterdir()), "nothing is kept without it, either: the line above tells nothing"
    assert "no directory" in analyze(*command, "--sysroot", tmp_path / "none", code=1)


def test_altlink(recorded, tmp_path):
    """Parts shared with another program, as dwz makes them for distributions; and what is said when they are missing."""
    for name in ("a", "b"):
        recorded.debug_file(tmp_path / name)
    common = tmp_path / "dbg" / ".dwz" / "common.debug"
    common.parent.mkdir(parents=True)
    tool("dwz", "-m", common, "-M", "/usr/lib/debug/.dwz/no/such/common.debug", tmp_path / "a", tmp_path / "b")
    assert ".gnu_debugaltlink" in tool("readelf", "-SW", tmp_path / "a")
    target = recorded.build_id_path(tmp_path / "dbg")
    target.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "a", target)
    cache = tmp_path / "cache"
    for _ in range(2):
        everything_is_known(recorded, "--debug-dir", tmp_path / "dbg", cache=cache)
    common.unlink()
    module = module_of(recorded, "--debug-dir", tmp_path / "dbg", cache=cache)
    assert "incomplete" in module["why"] and module["wanted_file"].endswith("no/such/common.debug"), module


def test_mini_debug_info(recorded, tmp_path):
    mini = tmp_path / "mini"
    tool("objcopy", "-S", "--remove-section=.gnu_debuglink", "--remove-section=.comment", "--keep-symbol=crunch", recorded.full, mini)
    tool("xz", "-k", mini)
    recorded.place(tmp_path, f"--add-section=.gnu_debugdata={mini}.xz")
    module = module_of(recorded, "--sysroot", tmp_path)
    assert module["symbols_kind"] == "symtab", module
    assert any(s["frames"][0]["function"] == "crunch" for s in stacks_of(recorded, "--sysroot", tmp_path))


def test_another_build_is_refused(recorded, tmp_path):
    """By name, with both build-ids; its names are not used, whether it is the program or its debug file."""
    other = tmp_path / str(recorded.path)[1:]
    other.parent.mkdir(parents=True)
    tool("gcc", "-O1", "-g", "-Wl,--build-id=sha1", recorded.source, "-o", other)
    module = module_of(recorded, "--sysroot", tmp_path)
    assert module["symbols_kind"] == "none" and str(other) in module["why"] and recorded.id in module["why"], module
    assert not any(f["function"] == "crunch" for s in stacks_of(recorded, "--sysroot", tmp_path) for f in s["frames"])
    shutil.copy(other, tmp_path / "program.debug")
    assert module_of(recorded, "--debug-dir", tmp_path)["symbols_kind"] == "none"


def test_debuginfod(recorded, tmp_path):
    """A server is asked only with --debuginfod; what it gives is checked like any file."""
    recorded.debug_file(tmp_path / "www" / "buildid" / recorded.id / "debuginfo")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "www")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {"DEBUGINFOD_URLS": f"http://127.0.0.1:{server.server_address[1]}", "DEBUGINFOD_CACHE_PATH": str(tmp_path / "got"),
               "HOME": str(tmp_path)}
        assert module_of(recorded, **env)["symbols_kind"] == "none" and not asked
        everything_is_known(recorded, "--debuginfod", **env)
        assert f"/buildid/{recorded.id}/debuginfo" in asked
        server.shutdown()
    assert "DEBUGINFOD_URLS" in analyze("info", "--debuginfod", recorded.profile, code=1, DEBUGINFOD_URLS="")


def test_wrong_options(recorded, tmp_path):
    for options, code, word in [(["--sysroot", tmp_path / "none"], 1, "no directory"), (["--debug-dir", recorded.source], 1, "no directory"),
                                (["--map", "a=b"], 2, "OLD=NEW"), (["--map", "/a"], 2, "OLD=NEW"), (["--map", "/a="], 2, "OLD=NEW")]:
        said = analyze("report", *options, recorded.profile, code=code)
        assert word in said and said.count("\n") == 1, said

"""Flame graphs and exports, opened by the programs they are made for: speedscope, Chrome DevTools, a browser.

The inputs are snapshots with known content (build directory's make_snapshot) and profiles with names no program would have
(views_fixture). node and Chromium are needed; tests/node/package.json says which packages."""

import collections
import json
import os
import pathlib
import random
import subprocess

import pytest

import recording

pytestmark = pytest.mark.untimed

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "tests" / "node"
BIN = recording.BUILD / "bin"
ANALYZE = recording.ANALYZE
PERIOD_NS = 10101010  # 99 Hz
# A .cpuprofile's times are multiples of 125 us (export_cpuprofile.c says why). What that adds up to in a function of these
# recordings stays far below one sample, so within this slack every count of samples is exact.
GRID_MS = 1.5


def run(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=150, **more)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr.decode(errors='replace')}"
    return done.stdout


@pytest.fixture(scope="session")
def node():
    """Runs a script of tests/node; its packages are installed when they are not there."""
    if not (NODE / "node_modules" / "playwright-core").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, check=True, timeout=300, capture_output=True)

    def script(name, *arguments):
        return run(["node", NODE / name, *arguments])

    return script


def snapshot_lines(seed=1, stacks=60, hz=99):
    """A deterministic recording: recursion, two threads, samples with and without a time, a heap."""
    rng = random.Random(seed)
    functions = [f"{0x401000 + 0x100 * i:x}" for i in range(25)]
    lines = ["comm demo", f"hz {hz}"]
    rows = {}
    for _ in range(stacks):
        path = [functions[0]] + [rng.choice(functions) for _ in range(rng.randint(1, 12))]
        rows[(rng.randint(0, 1), ";".join(path))] = rng.randint(1, 40)
    lines += [f"cpu {t} {s} {n}" for (t, s), n in rows.items()]
    left = dict(rows)
    now = 31_000_000_000
    while now < 60_000_000_000:
        now += rng.randint(10_200_000, 700_000_000)
        key = rng.choice(list(rows))
        if left[key] > 0:
            left[key] -= 1
            lines.append(f"time {key[0]} {key[1]} {now} 1")
    for s in {s for _, s in rows}:
        lines.append(f"heap {s} {rng.randint(5, 90)} {rng.randint(50_000, 90_000)} {rng.randint(0, 4)} {rng.randint(0, 40_000)}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def snap(tmp_path_factory):
    path = tmp_path_factory.mktemp("views") / "demo.snap"
    run([BIN / "make_snapshot", path], input=snapshot_lines().encode())
    return path


def export(snapshot, form, *options):
    return run([ANALYZE, "export", "--format", form, *options, snapshot])


def report(snapshot, *options):
    return json.loads(run([ANALYZE, "report", "--json", *options, snapshot]))


def sums(profile, tid=None):
    """(total, {function: [self, inclusive]}) of a report, in its own unit."""
    total, by = 0, collections.defaultdict(lambda: [0, 0])
    for stack in profile["stacks"]:
        if tid is not None and stack["thread"] != tid:
            continue
        total += stack["value"]
        by[stack["frames"][0]][0] += stack["value"]
        for name in set(stack["frames"]):
            by[name][1] += stack["value"]
    return total, by


def assert_same(got, want, unit, slack, what):
    """got: {name: {self, total}}; want: {name: [self, total]} times `unit`; both ways, every function."""
    assert set(got) == set(want), what
    for name, (own, inclusive) in want.items():
        assert abs(got[name]["self"] - own * unit) <= slack, f"{what}: self of {name}: {got[name]['self']} != {own * unit}"
        assert abs(got[name]["total"] - inclusive * unit) <= slack, f"{what}: total of {name}: {got[name]['total']} != {inclusive * unit}"


def test_every_writer_has_the_totals_of_report(snap, tmp_path, node):
    want, functions = sums(report(snap))
    files = {"cpuprofile": "all.cpuprofile", "speedscope": "all.speedscope.json", "folded": "all.folded"}
    for form, name in files.items():
        (tmp_path / name).write_bytes(export(snap, form))
    imported = json.loads(node("speedscope_import.mjs", *(tmp_path / n for n in files.values())))
    for form, unit, slack in (("cpuprofile", PERIOD_NS / 1000, GRID_MS * 1000), ("speedscope", PERIOD_NS, 0), ("folded", 1, 0)):
        first = imported[str(tmp_path / files[form])][0]
        assert abs(first["total"] - want * unit) <= (1 if slack else 0), form
        assert_same(first["functions"], functions, unit, slack, form)
    by_thread = imported[str(tmp_path / files["speedscope"])][1:]
    assert sorted(p["name"] for p in by_thread) == ["demo (tid 4711)", "worker (tid 4712)"]
    for profile in by_thread:
        tid = int(profile["name"].split("tid ")[1].rstrip(")"))
        thread_total, thread_functions = sums(report(snap), tid)
        assert profile["total"] == thread_total * PERIOD_NS
        assert_same(profile["functions"], thread_functions, PERIOD_NS, 0, profile["name"])
    assert json.loads(export(snap, "json")) == report(snap)
    folded = export(snap, "folded").decode().splitlines()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in folded) == want
    with_thread = export(snap, "folded", "--with-thread").decode().splitlines()
    assert {line.split(";")[0] for line in with_thread} == {"demo-4711", "worker-4712"}
    assert sum(int(line.rsplit(" ", 1)[1]) for line in with_thread) == want


def test_chrome_devtools_shows_the_totals_of_report(snap, tmp_path, node):
    whole, worker = tmp_path / "all.cpuprofile", tmp_path / "worker.cpuprofile"
    whole.write_bytes(export(snap, "cpuprofile"))
    worker.write_bytes(export(snap, "cpuprofile", "--thread", "4712"))
    shown = json.loads(node("devtools_cpuprofile.mjs", whole, worker))
    ms = PERIOD_NS / 1e6
    for path, tid in ((whole, None), (worker, 4712)):
        total, functions = sums(report(snap), tid)
        got = shown[str(path)]
        assert abs(got["total"] - total * ms) < 0.02, path.name
        assert_same(got["functions"], functions, ms, 0.02, f"{path.name}, tree")
        assert_same(got["timeline"], functions, ms, GRID_MS, f"{path.name}, time line")
        # The panel lists functions with own time; (idle) is the only row that is none.
        own = {name: value for name, value in functions.items() if value[0]}
        panel = {name: row for name, row in got["panel"].items() if name != "(idle)"}
        assert set(panel) <= set(own) and len(panel) >= min(5, len(own)), "rows of the panel"
        for name, row in panel.items():
            assert abs(row["self"] - own[name][0] * ms) < GRID_MS + 0.1, f"panel: self of {name} in {path.name}"
        assert ("(idle)" in got["panel"]) == (tid is not None)


def test_thread_time_line_keeps_the_clock(snap):
    profile = json.loads(export(snap, "cpuprofile", "--thread", "4712"))
    assert next(iter(profile)) == "nodes"
    idle = next(n["id"] for n in profile["nodes"] if n["callFrame"]["functionName"] == "(idle)")
    assert profile["samples"].count(idle) > 5 and profile["samples"][-1] == idle
    assert len(profile["samples"]) == len(profile["timeDeltas"]) and min(profile["timeDeltas"]) >= 0
    at, ends = profile["startTime"], []
    for sample, delta in zip(profile["samples"], profile["timeDeltas"]):
        at += delta
        ends.append((at + PERIOD_NS / 1000, sample))
    assert at <= profile["endTime"]
    # Each timed sample's period ends at its time, except where the one before was less than a period earlier.
    timed = [int(line.split()[3]) / 1000 for line in snapshot_lines().splitlines() if line.startswith("time 1")]
    got = [end for end, sample in ends if sample != idle][-len(timed):]
    assert all(abs(g - t) <= PERIOD_NS / 1000 + 126 for g, t in zip(got, timed))
    assert sum(abs(g - t) <= 126 for g, t in zip(got, timed)) > len(timed) / 2


def test_memory_metrics(snap, tmp_path, node):
    files = []
    for metric in ("live", "alloc", "live-count"):
        path = tmp_path / f"{metric}.speedscope.json"
        path.write_bytes(export(snap, "speedscope", "--metric", metric))
        files.append((metric, path))
    imported = json.loads(node("speedscope_import.mjs", *(p for _, p in files)))
    for metric, path in files:
        total, functions = sums(report(snap, "--metric", metric))
        (only,) = imported[str(path)]
        assert only["unit"] == ("none" if metric == "live-count" else "bytes")
        assert only["total"] == total
        assert_same(only["functions"], functions, 1, 0, metric)
        folded = export(snap, "folded", "--metric", metric).decode().splitlines()
        assert sum(int(line.rsplit(" ", 1)[1]) for line in folded) == total


PLAIN = """\
main@/usr/bin/demo@/src/main.c@3;parse@/usr/bin/demo@/src/parse.c@41;read_file@/usr/bin/demo@/src/io.c@7 40000
main@/usr/bin/demo@/src/main.c@9;parse@/usr/bin/demo@/src/parse.c@55;parse@/usr/bin/demo@/src/parse.c@60 10000
main@/usr/bin/demo@/src/main.c@3;parse@/usr/bin/demo@/src/parse.c@41 10000
main@/usr/bin/demo@/src/main.c@3;render@/usr/bin/demo@/src/render.c@5 29999
main@/usr/bin/demo@/src/main.c@3;render@/usr/bin/demo@/src/render.c@5;tiny 1
main@/usr/bin/demo@/src/main.c@3 10000
"""
BEFORE = "main;old 3000 3\nmain;keep 1000 1\n"
AFTER = "main;keep 4000 4\nmain;new 500 1\n"
HOSTILE = "".join(f"{name} 10\n" for name in (
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", "]]><script>alert(3)</script>", "<img src=x onerror=alert(4)>",
    "&lt;b&gt;", "\"' onload='alert(5)", "std::map<std::string, std::vector<int> >::operator[](std::string&&)",
    "bad\\xff\\xfe\\x01utf8", "\\xe2\\x80\\xaereversed", "${alert(6)}", "javascript:alert(7)", "a" * 3000))


def test_flame_graph_in_a_browser(tmp_path, node):
    pictures = {"plain": ("cpu", [PLAIN]), "diff": ("live", [BEFORE, AFTER]), "hostile": ("cpu", [HOSTILE])}
    for name, (metric, texts) in pictures.items():
        inputs = []
        for i, text in enumerate(texts):
            inputs.append(tmp_path / f"{name}{i}.txt")
            inputs[-1].write_text(text)
        (tmp_path / f"{name}.svg").write_bytes(run([BIN / "views_fixture", "flamegraph", metric, *inputs]))
    assert node("flamegraph_ui.mjs", *(tmp_path / f"{n}.svg" for n in pictures)).startswith(b"ok ")


def test_flame_graph_of_snapshots(snap, tmp_path):
    import xml.dom.minidom

    other = tmp_path / "after.snap"
    run([BIN / "make_snapshot", other], input=snapshot_lines(seed=2, hz=199).encode())
    for options in ([snap], [snap, "--metric", "live"], [snap, other], [snap, other, "--before", "--normalize"],
                    [snap, "--reverse", "--inverted", "--by-name", "--thread", "4711", "--width", "800"]):
        svg = run([ANALYZE, "flamegraph", *options])
        document = xml.dom.minidom.parseString(svg)
        data = json.loads(next(s for s in document.getElementsByTagName("script") if s.getAttribute("id") == "data").firstChild.data)
        last = f"total{1 if other in options else 0}"
        scale = 1
        if other in options:  # 99 and 199 Hz: compared as time
            assert data["period_ns"] == 1
            scale = 1000000000 // 199
            want, _ = sums(report(other))
        else:
            metric = "live" if "live" in options else "cpu"
            want, _ = sums(report(snap, "--metric", metric), 4711 if "4711" in options else None)
        assert data[last][0] == want * scale, options


USAGE = [
    (["export", "SNAP"], 2, "--format"),
    (["export", "--format", "nonsense", "SNAP"], 2, "callgrind, perf-script, dhat or json"),
    (["export", "--format", "cpuprofile", "--metric", "live", "SNAP"], 2, "callgrind or folded"),
    (["export", "--format", "trace", "--metric", "live", "SNAP"], 2, "callgrind or folded"),
    (["export", "--format", "heapprofile", "--metric", "live-count", "SNAP"], 2, "holds bytes"),
    (["export", "--format", "heapprofile", "--metric", "cpu", "SNAP"], 2, "holds bytes"),
    (["export", "--format", "dhat", "--metric", "cpu", "SNAP"], 2, "leave --metric out"),
    (["export", "--format", "dhat", "--metric", "temporary", "SNAP"], 2, "leave --metric out"),
    (["export", "--format", "dhat", "--thread", "4711", "SNAP"], 2, "leave --thread out"),
    (["export", "--format", "folded", "--thread", "99", "SNAP"], 2, "no thread 99"),
    (["export", "--format", "folded", "--thread", "x", "SNAP"], 2, "number of a thread"),
    (["export", "--format", "folded", "/nonexistent.snap"], 1, "/nonexistent.snap"),
    (["export", "--format", "folded", "-o", "/nonexistent/out", "SNAP"], 1, "/nonexistent/out"),
    (["export", "--format", "folded", "-o", "/dev/full", "SNAP"], 1, "/dev/full"),
    (["flamegraph", "--before", "SNAP"], 2, "give B too"),
    (["flamegraph", "--width", "5", "SNAP"], 2, "--width"),
    (["flamegraph", "--thread", "1", "SNAP", "SNAP"], 2, "--thread"),
    (["flamegraph", "--thread", "1", "SNAP"], 1, "thread"),
]


@pytest.mark.parametrize("arguments,code,words", USAGE, ids=[" ".join(u[0]) for u in USAGE])
def test_refusals_are_one_sentence(snap, arguments, code, words):
    done = subprocess.run([ANALYZE, *(str(snap) if a == "SNAP" else a for a in arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_no_registry_stands_in_the_lock_file():
    lock = json.loads((NODE / "package-lock.json").read_text())
    assert not [name for name, p in lock["packages"].items() if "resolved" in p]


def test_a_real_recording(tmp_path, node):
    """A spinning program under the library, to the browser: what report says is what the others show."""
    recording.record(tmp_path, [recording.VICTIMS / "victim_spin", "1.5", "2"], cpu=199)
    (snapshot,) = recording.snapshots(tmp_path)
    total, functions = sums(report(snapshot))
    assert total > 20, "too few samples to say anything"
    path = tmp_path / "spin.cpuprofile"
    path.write_bytes(export(snapshot, "cpuprofile"))
    shown = json.loads(node("devtools_cpuprofile.mjs", path))[str(path)]
    ms = report(snapshot)["period_ns"] / 1e6
    assert abs(shown["total"] - total * ms) < 0.05
    assert_same(shown["functions"], functions, ms, 0.05, "spin")
    hottest = max(functions, key=lambda name: functions[name][0])
    svg = run([ANALYZE, "flamegraph", snapshot])
    assert hottest.encode() in svg

"""Every export format, read by programs that are not ours, and all of them compared with `report --json`.

The invariant: the total, each function's own and each function's inclusive sum are equal in every format and every reader.
    cpuprofile, heapprofile, trace   Chromium's DevTools, and speedscope
    speedscope, folded, perf-script  speedscope
    pprof                            go tool pprof, and speedscope
    callgrind                        callgrind_annotate, and speedscope
    dhat                             valgrind's viewer in Chromium
    firefox                          Firefox Profiler's own program for the command line; its documented tables are checked here
test_views.py has the tests of cpuprofile, speedscope and folded alone."""

import collections
import gzip
import json
import os
import re
import subprocess
import tempfile

import pytest

import recording
import test_requests
import test_views as views

pytestmark = pytest.mark.untimed

node = views.node  # the fixture
VIEWER = "/usr/libexec/valgrind/dh_view.html"
PERIOD_NS = views.PERIOD_NS
LOST = {"cpu.dropped": 7, "heap.table_full": 3}
LOSSES = "".join(f"lost {name} {count}\n" for name, count in LOST.items()) + "lost stacks.busy 0\n"


def lines():
    """test_views' recording, with a peak and temporary blocks, and losses."""
    for i, line in enumerate(views.snapshot_lines().splitlines()):
        yield f"{line} {1 + i % 5} {1000 + 37 * i} {i % 3}\n" if line.startswith("heap ") else line + "\n"
    yield LOSSES


TIME = ("cpu",)
BYTES = ("live", "alloc", "peak", "leaked")
COUNTS = ("live-count", "alloc-count", "temporary")
SUFFIX = {"cpuprofile": ".cpuprofile", "heapprofile": ".heapprofile", "speedscope": ".speedscope.json", "pprof": ".pb.gz", "folded": ".folded",
          "trace": ".trace.json", "firefox": ".firefox.json", "callgrind": ".callgrind", "perf-script": ".perf.txt", "dhat": ".dhat.json",
          "json": ".json"}


@pytest.fixture(scope="module")
def snap(tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "demo.snap"
    views.run([views.BIN / "make_snapshot", path], input="".join(lines()).encode())
    return path


def write(snapshot, directory, form, metric, *options):
    path = directory / f"{metric}{SUFFIX[form]}"
    path.write_bytes(views.export(snapshot, form, "--metric", metric, *options))
    return path


def wanted(snapshot, metric, unit=1):
    """(total, {function: [self, inclusive]}) of report, times `unit`."""
    total, functions = views.sums(views.report(snapshot, "--metric", metric))
    assert total > 0, f"nothing of {metric} to compare"
    return total * unit, {name: [own * unit, inclusive * unit] for name, (own, inclusive) in functions.items()}


def of_stacks(stacks):
    """The same of [(value, [leaf, ..., root])]; stacks and functions of 0 are left out."""
    total, by = 0, collections.defaultdict(lambda: [0, 0])
    for value, frames in stacks:
        if not value:
            continue
        total += value
        by[frames[0]][0] += value
        for name in set(frames):
            by[name][1] += value
    return total, by


def compare(got, want, what, slack=0, leave_out=()):
    """Both are (total, {function: [self, inclusive]})."""
    functions = {name: value for name, value in got[1].items() if name not in leave_out}
    assert abs(got[0] - want[0]) <= slack, f"{what}: total {got[0]} is not {want[0]}"
    assert set(functions) == set(want[1]), what
    for name, value in want[1].items():
        for kind, g, w in zip(("own", "inclusive"), functions[name], value):
            assert abs(g - w) <= slack, f"{what}: {kind} sum of {name}: {g} is not {w}"


def of_importer(profiles):
    """speedscope's profiles together."""
    by = collections.defaultdict(lambda: [0, 0])
    for profile in profiles:
        for name, sums in profile["functions"].items():
            by[name][0] += sums["self"]
            by[name][1] += sums["total"]
    return sum(sums[0] for sums in by.values()), by


# ---- pprof --------------------------------------------------------------------------------------------------------------


def pprof_raw(path):
    """go tool pprof -raw: ({type: index}, [(values, [[function of each line, innermost first] of each location]), labels], text)."""
    text = views.run(["go", "tool", "pprof", "-symbolize=none", "-raw", path], env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "PPROF_TMPDIR": str(path.parent)}).decode()
    body, rest = text.split("\nSamples:\n")[1].split("\nLocations\n")
    locations, _, mappings = rest.partition("\nMappings\n")
    types, *lines = body.split("\n")
    columns = {word.split("/")[0]: i for i, word in enumerate(types.replace("[dflt]", "").split())}
    of_location = {}
    for line in locations.split("\n"):
        start = re.match(r"\s*(\d+): 0x[0-9a-f]+ (?:M=\d+ )?(.*)", line)
        if start:
            number, line = start.groups()
            of_location[number] = []
        of_location[number].append(re.fullmatch(r"\s*(.*) \S*:\d+ s=\d+", line).group(1))
    samples = []
    for line in lines:
        label = re.fullmatch(r"\s+(\w+):\[(.*)\]\s*", line)
        if label:
            samples[-1][2][label.group(1)] = label.group(2)
            continue
        values, stack = line.split(":")
        samples.append(([int(v) for v in values.split()], [of_location[number] for number in stack.split()], {}))
    return columns, samples, text.split("\nSamples:\n")[0] + "\nMappings\n" + mappings


def pprof_sums(path, column):
    columns, samples, _ = pprof_raw(path)
    return of_stacks([(values[columns[column]], [name for lines in stack for name in lines]) for values, stack, _ in samples])


PPROF_COLUMN = {"live": "inuse_space", "live-count": "inuse_objects", "alloc": "alloc_space", "alloc-count": "alloc_objects",
                "peak": "peak_space"}


def test_pprof(snap, tmp_path):
    cpu = write(snap, tmp_path, "pprof", "cpu")
    compare(pprof_sums(cpu, "samples"), wanted(snap, "cpu"), "samples")
    compare(pprof_sums(cpu, "cpu"), wanted(snap, "cpu", PERIOD_NS), "nanoseconds")
    columns, samples, head = pprof_raw(cpu)
    assert list(columns) == ["samples", "cpu"] and "PeriodType: cpu nanoseconds" in head and f"Period: {PERIOD_NS}" in head
    assert "lost: 7 cpu.dropped, 3 heap.table_full" in head and "/nowhere/demo" in head and "[FN][FL][LN][IN]" in head
    by_thread = collections.Counter()
    for values, _, labels in samples:
        by_thread[labels["thread"], labels["thread_id"]] += values[columns["samples"]]
    want = collections.Counter()
    for stack in views.report(snap)["stacks"]:
        want[{4711: "demo", 4712: "worker"}[stack["thread"]], str(stack["thread"])] += stack["value"]
    assert by_thread == want
    # The heap: one file has all, whichever metric is asked for; that one is shown at first.
    for metric, column in PPROF_COLUMN.items():
        path = write(snap, tmp_path, "pprof", metric)
        for other, its_column in PPROF_COLUMN.items():
            compare(pprof_sums(path, its_column), wanted(snap, other), f"{other} in the file of {metric}")
        top = views.run(["go", "tool", "pprof", "-symbolize=none", "-top", path]).decode()
        assert f"Type: {column}" in top
    for metric in ("temporary", "leaked"):
        compare(pprof_sums(write(snap, tmp_path, "pprof", metric), metric), wanted(snap, metric), metric)
    one = write(snap, tmp_path, "pprof", "cpu", "--thread", "4712")
    assert sum(values[0] for values, _, _ in pprof_raw(one)[1]) == want["worker", "4712"]


# ---- callgrind ----------------------------------------------------------------------------------------------------------


def annotate(path, inclusive):
    """{name: [cost of each event]}, and the head, of callgrind_annotate."""
    text = views.run(["callgrind_annotate", f"--inclusive={'yes' if inclusive else 'no'}", "--threshold=100", "--auto=no", path]).decode()
    rows = {}
    head, _, table = text.partition("file:function\n")
    for line in table.split("\n"):
        match = re.match(r"\s*((?:(?:[0-9,]+|\.) \([^)]*\)\s+)+|(?:(?:[0-9,]+|\.)\s+)+)(\S*?):(.*?)(?: \[[^]]*\])?\s*$", line)
        if match:
            costs = [int(c.replace(",", "")) if c != "." else 0 for c in re.findall(r"([0-9,]+|\.)(?: \([^)]*\))?\s", match.group(1))]
            assert match.group(3) not in rows, "a function has two rows"
            rows[match.group(3)] = costs
    return rows, head


@pytest.mark.parametrize("metric", TIME + BYTES + COUNTS)
def test_callgrind(snap, tmp_path, node, metric):
    path = write(snap, tmp_path, "callgrind", metric)
    own, head = annotate(path, False)
    inclusive, _ = annotate(path, True)
    total, functions = wanted(snap, metric)
    sums = {name: [own.get(name, [0])[0], costs[0]] for name, costs in inclusive.items()}
    # "[root]" calls functions that begin stacks and are called too; it is no function, and has no cost of its own.
    compare((sum(own.get(name, [0])[0] for name in own), sums), (total, functions), metric, leave_out=["[root]"])
    assert own.get("[root]", [0])[0] == 0
    assert "Lost: 7 cpu.dropped, 3 heap.table_full" in head and f"{total:,}" in head
    events = re.search(r"Events recorded:\s+(.*)", head).group(1).split()
    assert events == {"cpu": ["Samples", "cpu_ns"]}.get(metric, ["Bytes", "Blocks"] if metric in BYTES else ["Allocations"])
    if metric == "cpu":
        assert all(costs[1] == costs[0] * PERIOD_NS for costs in inclusive.values())
    imported = json.loads(node("speedscope_import.mjs", path))[str(path)]
    assert imported[0]["total"] == total and imported[0]["name"].endswith(events[0])


# ---- formats of speedscope's importers -----------------------------------------------------------------------------------


def test_importers_of_speedscope_show_the_sums_of_report(snap, tmp_path, node):
    """cpuprofile, speedscope and folded: test_views.py."""
    files = {("cpu", form): write(snap, tmp_path, form, "cpu") for form in ("pprof", "trace", "perf-script")}
    files |= {(metric, "heapprofile"): write(snap, tmp_path, "heapprofile", metric) for metric in BYTES}
    files |= {(metric, form): write(snap, tmp_path, form, metric) for metric in BYTES + COUNTS for form in ("speedscope", "folded", "pprof")}
    imported = json.loads(node("speedscope_import.mjs", *files.values()))
    # Units of each importer, and by how much it may be off: trace has a grid of 125 us (export_threads.h); perf script's time
    # stamps become weights by the distances between them, so that of each thread one period is missing, half at each end.
    units = {("cpu", "pprof"): (PERIOD_NS, 0), ("cpu", "trace"): (PERIOD_NS / 1000, 2 * views.GRID_MS * 1000),
             ("cpu", "perf-script"): (PERIOD_NS / 1e9, 2 * (PERIOD_NS / 1e9) + 0.003)}
    for (metric, form), path in files.items():
        unit, slack = units.get((metric, form), (1, 0))
        profiles = imported[str(path)]
        if form == "pprof" and metric in PPROF_COLUMN:
            continue  # its importer shows the last kind of value only: test_pprof has all
        compare(of_importer(profiles), wanted(snap, metric, unit), f"{form} of {metric}", slack, leave_out=["(root)"])


# ---- perf script --------------------------------------------------------------------------------------------------------


def perf_events(text):
    """[(tid, seconds, period, event, [names, leaf first])], by the shape of perf's output."""
    events = []
    for block in re.sub(r"^#.*\n", "", text, flags=re.M).strip("\n").split("\n\n"):
        head, *frames = block.split("\n")
        match = re.fullmatch(r"(\S+) (\d+)/(\d+) (\d+\.\d{9}):\s+(\d+) (\S+):", head)
        names = [re.fullmatch(r"\t\s*[0-9a-f]+ (.+) \(\S*\)", frame).group(1) for frame in frames]
        events.append((int(match.group(3)), float(match.group(4)), int(match.group(5)), match.group(6),
                       [re.sub(r"\+0x[0-9a-f]+$", "", name) for name in names]))
    return events


@pytest.mark.parametrize("metric", TIME + BYTES + COUNTS)
def test_perf_script(snap, tmp_path, metric):
    text = write(snap, tmp_path, "perf-script", metric).read_text()
    assert text.startswith("# ========\n") and "# lost : 7 cpu.dropped, 3 heap.table_full\n" in text
    events = perf_events(text)
    compare(of_stacks([(period, names) for _, _, period, _, names in events]), wanted(snap, metric, PERIOD_NS if metric == "cpu" else 1), metric)
    assert {event for _, _, _, event, _ in events} == {"cpu-clock" if metric == "cpu" else f"perfprobe-{metric}"}
    for tid in {tid for tid, *_ in events}:
        times = [seconds for t, seconds, *_ in events if t == tid]
        assert times == sorted(times), "time runs back within a thread"


def test_perf_script_of_a_thread_keeps_the_clock(snap, tmp_path):
    events = perf_events(write(snap, tmp_path, "perf-script", "cpu", "--thread", "4712").read_text())
    recorded = [int(line.split()[3]) / 1e9 for line in views.snapshot_lines().splitlines() if line.startswith("time 1")]
    got = [seconds + PERIOD_NS / 1e9 for _, seconds, *_ in events][-len(recorded):]
    assert all(abs(g - t) <= PERIOD_NS / 1e9 + 0.000126 for g, t in zip(got, recorded))


# ---- heapprofile, trace: in DevTools --------------------------------------------------------------------------------------


def test_heapprofile_in_chrome_devtools(snap, tmp_path, node):
    files = {metric: write(snap, tmp_path, "heapprofile", metric) for metric in ("live", "alloc")}
    shown = json.loads(node("devtools_heapprofile.mjs", *files.values()))
    for metric, path in files.items():
        want = wanted(snap, metric)
        got = shown[str(path)]
        compare((got["total"], {n: [f["self"], f["total"]] for n, f in got["functions"].items()}), want, metric)
        # The panel rounds to three digits or one after the point.
        assert len(got["panel"]) >= 5
        for name, row in got["panel"].items():
            assert abs(row["self"] - want[1][name][0]) <= max(60, want[1][name][0] / 50), f"row of {name}"
        file = json.loads(path.read_text())
        assert file["losses"] == LOST
        assert sum(s["size"] for s in file["samples"]) == want[0]


def test_trace_in_chrome_devtools(snap, tmp_path, node):
    path = write(snap, tmp_path, "trace", "cpu")
    assert json.loads(path.read_text())["metadata"]["losses"] == LOST
    shown = json.loads(node("devtools_trace.mjs", path))[str(path)]
    assert {int(tid): t["name"] for tid, t in shown["threads"].items()} == {4711: "demo", 4712: "worker"}
    ms = PERIOD_NS / 1e6
    for tid, thread in shown["threads"].items():
        total, functions = views.sums(views.report(snap), int(tid))
        assert abs(thread["total"] - total * ms) < views.GRID_MS
        views.assert_same(thread["functions"], functions, ms, views.GRID_MS, f"thread {tid}")
    # What the panel lists after a click is one of the threads.
    assert len(shown["panel"]) >= 5
    matches = [tid for tid in (4711, 4712) if all(
        abs(row["self"] - views.sums(views.report(snap), tid)[1][name][0] * ms) < views.GRID_MS + 0.1 for name, row in shown["panel"].items())]
    assert len(matches) == 1, shown["panel"]


# ---- dhat ---------------------------------------------------------------------------------------------------------------


def dhat_names(point):
    return [re.fullmatch(r"0x[0-9a-f]+: (.*?)(?: \((?:in )?[^()]*\))?", frame).group(1) for frame in point["frames"]]


def test_dhat_in_its_viewer(snap, tmp_path, node):
    path = write(snap, tmp_path, "dhat", "live")
    shown = json.loads(node("dhat_view.mjs", VIEWER, path))[str(path)]
    assert "7 cpu.dropped, 3 heap.table_full" in shown["text"] and "t-gmax" in shown["text"]

    for field, metric in (("tb", "alloc"), ("tbk", "alloc-count"), ("gb", "peak"), ("eb", "live"), ("ebk", "live-count")):
        want = wanted(snap, metric)
        compare(of_stacks([(p[field], dhat_names(p)) for p in shown["points"]]), want, metric)
        assert shown["totals"][field] == want[0], f"the root's {field}"
    assert all(p["mb"] >= max(p["gb"], p["eb"]) for p in shown["points"])
    file = json.loads(path.read_text())
    assert file["losses"] == LOST and file["te"] >= file["tg"]
    assert views.export(snap, "dhat", "--metric", "alloc") == path.read_bytes(), "the file depends on the metric"


# ---- firefox ------------------------------------------------------------------------------------------------------------

TABLES = {  # the profiler's src/types/profile.ts at version 60: columns, and what their numbers index
    "stackTable": {"frame": "frameTable", "prefix": "stackTable?"},
    "frameTable": {"address": None, "inlineDepth": None, "category": "categories?", "subcategory": None, "func": "funcTable",
                   "nativeSymbol": "nativeSymbols?", "innerWindowID": None, "line": None, "column": None},
    "funcTable": {"name": "strings", "isJS": None, "relevantForJS": None, "resource": "resourceTable-", "source": "sources?",
                  "lineNumber": None, "columnNumber": None},
    "nativeSymbols": {"libIndex": "libs", "address": None, "name": "strings", "functionSize": None},
    "resourceTable": {"lib": "libs?", "name": "strings", "host": "strings?", "type": None},
    "sources": {"id": None, "filename": "strings"},
}


def check_column(values, length, limit, kind, what):
    assert len(values) == length, f"{what}: {len(values)} of {length}"
    for i, value in enumerate(values):
        if limit is None or (kind == "?" and value is None) or (kind == "-" and value == -1):
            continue
        assert isinstance(value, int) and 0 <= value < limit, f"{what}[{i}] is {value}, of {limit}"


def check_firefox(profile):
    """The rules of a processed profile of version 60. Returns each thread's stacks: {thread: [(weight, [names, leaf first])]}."""
    shared, meta = profile["shared"], profile["meta"]
    assert meta["preprocessedProfileVersion"] == 60 and meta["symbolicated"] is True
    assert any(c["color"] == "grey" and c["subcategories"][0] == "Other" for c in meta["categories"])
    sizes = {name: shared[name]["length"] for name in TABLES}
    sizes |= {"strings": len(shared["stringArray"]), "libs": len(profile["libs"]), "categories": len(meta["categories"])}
    assert len(set(shared["stringArray"])) == sizes["strings"], "a string stands twice"
    assert all(isinstance(s, str) for s in shared["stringArray"])
    for name, columns in TABLES.items():
        assert set(shared[name]) == set(columns) | {"length"}, name
        for column, target in columns.items():
            kind = target[-1] if target and target[-1] in "?-" else ""
            check_column(shared[name][column], sizes[name], target and sizes[target.rstrip("?-")], kind, f"{name}.{column}")
    stacks, frames, functions = shared["stackTable"], shared["frameTable"], shared["funcTable"]
    for i, prefix in enumerate(stacks["prefix"]):
        assert prefix is None or prefix < i, "a stack stands before the one it hangs from"
    for library in profile["libs"]:
        assert set(library) == {"arch", "name", "path", "debugName", "debugPath", "breakpadId", "codeId"}
        assert re.fullmatch(r"[0-9A-F]{32}0", library["breakpadId"])
    schemas = {s["name"]: {f["key"] for f in s["fields"]} for s in meta["markerSchema"]}
    result = {}
    assert profile["threads"], "no thread"
    for thread in profile["threads"]:
        assert isinstance(thread["pid"], str) and thread["processType"] == "default"
        samples, markers = thread["samples"], thread["markers"]
        for column in {"stack", "time", "weight", "threadCPUDelta"} & set(samples):
            check_column(samples[column], samples["length"], sizes["stackTable"] if column == "stack" else None, "", f"samples.{column}")
        assert samples["weightType"] in ("samples", "bytes") and samples["time"] == sorted(samples["time"])
        for column in ("data", "name", "startTime", "endTime", "phase", "category"):
            check_column(markers[column], markers["length"], sizes["strings"] if column == "name" else None, "", f"markers.{column}")
        for data, phase, start, end in zip(markers["data"], markers["phase"], markers["startTime"], markers["endTime"]):
            assert set(data) <= schemas[data["type"]] | {"type"}
            assert start is not None and (end is not None) == (phase == 1) and (phase != 1 or end >= start)
        listed = []
        for stack, weight in zip(samples["stack"], samples["weight"]):
            names = []
            while stack is not None:
                names.append(shared["stringArray"][functions["name"][frames["func"][stacks["frame"][stack]]]])
                stack = stacks["prefix"][stack]
            listed.append((weight, names))
        result[thread["tid"], thread["name"]] = listed
    return result


@pytest.mark.parametrize("metric", TIME + BYTES + COUNTS)
def test_firefox(snap, tmp_path, metric):
    profile = json.loads(write(snap, tmp_path, "firefox", metric).read_text())
    threads = check_firefox(profile)
    compare(of_stacks([s for stacks in threads.values() for s in stacks]), wanted(snap, metric), metric)
    if metric == "cpu":
        assert set(threads) == {(4711, "demo"), (4712, "worker")}
        for (tid, _), stacks in threads.items():
            compare(of_stacks(stacks), views.sums(views.report(snap), tid), f"thread {tid}")
    assert {t["samples"]["weightType"] for t in profile["threads"]} == {"bytes" if metric in BYTES else "samples"}
    (section,) = profile["meta"]["extra"]
    assert {e["label"]: e["value"] for e in section["entries"]} == LOST


def in_firefox_profiler(path, what):
    """What `what` says of the profile, once Firefox Profiler's code has read it: a process of its own keeps it open. It is started
    as the command `load` starts it, which gives it half a second to begin."""
    with tempfile.TemporaryDirectory() as sessions:  # a short name: a socket goes there
        command = ["node", views.NODE / "node_modules" / ".bin" / "profiler-cli"]
        env = {**os.environ, "PROFILER_CLI_SESSION_DIR": sessions}

        def answers():
            return subprocess.run([*command, "thread", "list", "--session", "it"], env=env, capture_output=True, timeout=60).returncode == 0

        daemon = subprocess.Popen([*command, "--daemon", path, "--session", "it"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # Asked too early, it takes the session for a dead one and removes it.
            recording.wait_until(lambda: os.path.exists(os.path.join(sessions, "it.sock")), 60, "Firefox Profiler's socket")
            recording.wait_until(answers, 60, "Firefox Profiler")
            return what(lambda *arguments: views.run([*command, *arguments, "--session", "it", "--json"], env=env))
        finally:
            daemon.terminate()
            daemon.wait(30)


def firefox_sums(profiler):
    """{(tid, thread): (kind of weight, total, {function: [self, inclusive]})}."""
    found = {}
    for thread in json.loads(profiler("thread", "list"))["threads"]:
        told = json.loads(profiler("thread", "functions", "--thread", thread["threadHandle"], "--limit", "0", "--include-idle"))
        by = collections.defaultdict(lambda: [0, 0])
        for function in told["functions"]:
            by[function["name"]][0] += function["selfSamples"]
            by[function["name"]][1] += function["totalSamples"]
        assert len(told["functions"]) == told["totalFunctionCount"]
        found[thread["tid"], thread["name"]] = told["weightType"], sum(own for own, _ in by.values()), by
    return found


def of_threads(found):
    by = collections.defaultdict(lambda: [0, 0])
    for _, _, functions in found.values():
        for name, sums in functions.items():
            by[name][0] += sums[0]
            by[name][1] += sums[1]
    return sum(total for _, total, _ in found.values()), by


@pytest.mark.parametrize("metric", TIME + BYTES + COUNTS)
def test_firefox_profiler_shows_the_sums_of_report(snap, tmp_path, metric, node):
    found = in_firefox_profiler(write(snap, tmp_path, "firefox", metric), firefox_sums)
    compare(of_threads(found), wanted(snap, metric), f"Firefox Profiler of {metric}")
    assert {kind for kind, _, _ in found.values()} == {"bytes" if metric in BYTES else "samples"}
    for (tid, name), (_, total, functions) in found.items() if metric == "cpu" else ():
        compare((total, functions), views.sums(views.report(snap), tid), f"{name} in Firefox Profiler")


# ---- all together -------------------------------------------------------------------------------------------------------


def test_losses_stand_in_every_format_with_a_place_for_them(snap, tmp_path):
    for form in SUFFIX:
        data = write(snap, tmp_path, form, "live" if form in ("heapprofile", "dhat") else "cpu").read_bytes()
        text = gzip.decompress(data).decode(errors="replace") if form == "pprof" else data.decode()
        assert all(name in text for name in LOST) == (form != "folded"), form
        assert "stacks.busy" not in text, f"{form}: a loss of 0"
    assert views.report(snap)["losses"] == LOST
    assert json.loads(views.export(snap, "json", "--metric", "live"))["losses"] == LOST


INLINED = """\
main@/usr/bin/demo@/src/main.c@3;parse@/usr/bin/demo@/src/parse.c@41;skip@/usr/bin/demo@/src/skip.h@7@inlined;peek@/usr/bin/demo@/src/peek.h@9@inlined 30
main@/usr/bin/demo@/src/main.c@3;parse@/usr/bin/demo@/src/parse.c@45 12
"""


def fixture(form, metric, path):
    return views.run([views.BIN / "views_fixture", form, metric, path])


def test_inlined_functions_and_lines(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text(INLINED)
    path = tmp_path / "in.pb.gz"
    path.write_bytes(fixture("pprof", "cpu", source))
    _, samples, _ = pprof_raw(path)
    # One place in the program, of which two inlined functions are a part.
    assert [stack for values, stack, _ in samples if values[0] == 30] == [[["peek", "skip", "parse"], ["main"]]]
    raw = views.run(["go", "tool", "pprof", "-symbolize=none", "-raw", path]).decode()
    assert "peek /src/peek.h:9" in raw and "skip /src/skip.h:7" in raw and "parse /src/parse.c:41" in raw
    profile = json.loads(fixture("firefox", "cpu", source))
    check_firefox(profile)
    frames, functions, strings = (profile["shared"][k] for k in ("frameTable", "funcTable", "stringArray"))
    got = {(strings[functions["name"][f]], frames["inlineDepth"][i], frames["line"][i]) for i, f in enumerate(frames["func"])}
    assert got == {("main", 0, 3), ("parse", 0, 41), ("parse", 0, 45), ("skip", 1, 7), ("peek", 2, 9)}
    graph = fixture("callgrind", "cpu", source).decode()
    assert re.search(r"cfn=\(2\) parse\n(?:.*\n)*fn=\(2\)\n45 12 120000000\n(?:c\w+=.*\n)+calls=30 7\n41 30 300000000\n", graph), graph
    assert "(inlined)" in fixture("perf-script", "cpu", source).decode()
    assert "peek (/src/peek.h:9)" in fixture("dhat", "live", source).decode()


# As they are in the file; what readers may make of them: a name of lines has no line ends, folded has no ';'.
HOSTILE = ["say \"hi\"\\ there", "a;b", "two\\x0alines", "tab\\x09ulator", "bell\\x07", "bad\\xff\\xfeutf8", "<script>alert(1)</script>", "</script>",
           "f(int, char const*)", "operator()(std::pair<int, int>)", "(5) not a number", "name 12", "calls=3 4", "fn=(1) x", "# no comment",
           "\\xe2\\x80\\xaereversed", "percent %s %n", "x" * 3000, "(root)", "[unknown]", "demo+0x1f", "back\\x5cslash"]


def shown_name(name):
    """What every format shows of it (clean_text.h)."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), name.encode())
    text = raw.decode(errors="replace")
    return "".join(" " if c in "\t\n\r" else "\ufffd" if ord(c) < 32 or c == "\u202e" else c for c in text)


def test_hostile_names_keep_every_file_whole(tmp_path, node):
    for metric, count in (("cpu", ""), ("live", " 1")):  # ';' ends a name in the fixture's text
        (tmp_path / metric).write_text("".join(f"main;{name.replace(';', chr(92) + 'x3b')} {10 + i}{count}\n" for i, name in enumerate(HOSTILE)))
    names = {shown_name(name): 10 + i for i, name in enumerate(HOSTILE)}
    total = sum(names.values())
    files = {}
    for form, suffix in SUFFIX.items():
        metric = "live" if form in ("heapprofile", "dhat") else "cpu"
        files[form] = tmp_path / f"hostile{suffix}"
        files[form].write_bytes(fixture(form, metric, tmp_path / metric))
    for form in ("cpuprofile", "heapprofile", "speedscope", "trace", "firefox", "dhat", "json"):
        assert "\\u0007" not in files[form].read_text() or form == "json"
        json.loads(files[form].read_text())
    # 1. pprof
    columns, samples, _ = pprof_raw(files["pprof"])
    assert {stack[0][0]: values[columns["samples"]] for values, stack, _ in samples} == names
    # 2. callgrind
    own, _ = annotate(files["callgrind"], False)
    assert {n: c[0] for n, c in own.items() if c[0]} == names
    # 3. perf script, 4. firefox
    events = collections.Counter()
    for _, _, period, _, frames in perf_events(files["perf-script"].read_text()):
        events[frames[0]] += period // 10_000_000
    assert events == {name.rstrip(): value for name, value in names.items()}
    (stacks,) = check_firefox(json.loads(files["firefox"].read_text())).values()
    own = collections.Counter()
    for weight, frames in stacks:
        own[frames[0]] += weight
    assert own == names
    # 5. DHAT's viewer, 6. DevTools, 7. speedscope
    view = json.loads(node("dhat_view.mjs", VIEWER, files["dhat"]))[str(files["dhat"])]
    assert {p["frames"][0].removeprefix("0x0: ").removesuffix(" (in /usr/bin/demo)"): p["eb"] for p in view["points"]} == names
    heap = json.loads(node("devtools_heapprofile.mjs", files["heapprofile"]))[str(files["heapprofile"])]
    assert {n: f["self"] for n, f in heap["functions"].items() if n != "main"} == names
    imported = json.loads(node("speedscope_import.mjs", *(files[form] for form in ("speedscope", "pprof", "heapprofile", "callgrind"))))
    for form, unit in (("speedscope", 10_000_000), ("pprof", 10_000_000), ("heapprofile", 1), ("callgrind", 1)):
        assert imported[str(files[form])][0]["total"] == total * unit, form


def test_a_disk_that_fills_up_is_one_sentence(snap, tmp_path):
    """More than is held before it is written (buf.c): the failure comes in the middle."""
    assert len(views.export(snap, "perf-script")) > 2 * 256 * 1024
    done = subprocess.run([views.ANALYZE, "export", "--format", "perf-script", "-o", "/dev/full", snap], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == "probe-analyze: cannot write /dev/full: No space left on device\n"


def test_a_real_recording(tmp_path, node):
    """Real names, lines and inlined functions: the heap of a program that leaks, and its CPU time."""
    recording.record(tmp_path, [recording.VICTIMS / "victim_spin", "1.5", "2"], cpu=199, heap="full")
    snapshot = recording.one(tmp_path)
    period = views.report(snapshot)["period_ns"]
    compare(pprof_sums(write(snapshot, tmp_path, "pprof", "cpu"), "cpu"), wanted(snapshot, "cpu", period), "pprof")
    events = perf_events(write(snapshot, tmp_path, "perf-script", "cpu").read_text())
    compare(of_stacks([(p, names) for _, _, p, _, names in events]), wanted(snapshot, "cpu", period), "perf-script")
    for metric in ("cpu", "alloc"):
        threads = check_firefox(json.loads(write(snapshot, tmp_path, "firefox", metric).read_text()))
        compare(of_stacks([s for stacks in threads.values() for s in stacks]), wanted(snapshot, metric), f"firefox of {metric}")
        total, functions = of_threads(in_firefox_profiler(tmp_path / f"{metric}{SUFFIX['firefox']}", firefox_sums))
        want = wanted(snapshot, metric)  # of two functions of one name in a stack, report adds one to what is inclusive
        assert (total, {n: own for n, (own, _) in functions.items()}) == (want[0], {n: own for n, (own, _) in want[1].items()}), metric
    for metric in ("alloc", "alloc-count", "peak"):
        compare(pprof_sums(write(snapshot, tmp_path, "pprof", "alloc"), PPROF_COLUMN[metric]), wanted(snapshot, metric), f"pprof of {metric}")
    path = write(snapshot, tmp_path, "dhat", "alloc")
    points = json.loads(node("dhat_view.mjs", VIEWER, path))[str(path)]["points"]
    for field, metric in (("tb", "alloc"), ("tbk", "alloc-count"), ("gb", "peak")):
        compare(of_stacks([(p[field], dhat_names(p)) for p in points]), wanted(snapshot, metric), f"dhat of {metric}")


def test_requests_and_marks(tmp_path, node):
    """What a server did: requests are spans in trace and Firefox, with their times; marks are instants."""
    with recording.Running(tmp_path, [recording.BUILD / "bin" / "sample_server", "--port", "0"]) as server:
        port = test_requests.port_of(server)
        test_requests.timed(port, "/cpu?ms=30", 5)
        test_requests.timed(port, "/status?code=404", 2)
        test_requests.wait_for_idle(port)
        server.stop()
    snapshot = recording.one(tmp_path)
    want = sorted((r["path"], round(r["duration_ms"], 3)) for r in json.loads(
        views.run([views.ANALYZE, "requests", "--json", "--top", "0", snapshot]))["slowest"])
    assert len(want) >= 8
    shown = json.loads(node("devtools_trace.mjs", write(snapshot, tmp_path, "trace", "cpu")))
    ((_, trace),) = shown.items()
    got = sorted((r["name"], r["duration"]) for r in trace["requests"])
    assert [name for name, _ in got] == [name for name, _ in want]
    assert all(abs(g - w) < 0.01 for (_, g), (_, w) in zip(got, want))
    profile = json.loads(write(snapshot, tmp_path, "firefox", "cpu").read_text())
    check_firefox(profile)
    (markers,) = [t["markers"] for t in profile["threads"] if t["markers"]["length"]]
    got = sorted((d["path"], end - start) for d, start, end in zip(markers["data"], markers["startTime"], markers["endTime"]))
    assert [name for name, _ in got] == [name for name, _ in want]
    assert all(abs(g - w) < 0.01 for (_, g), (_, w) in zip(got, want))
    assert sorted(d["status"] for d in markers["data"])[-2:] == [404, 404]

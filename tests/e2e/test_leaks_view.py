"""What `probe-analyze leaks` says of snapshots with known content (the build directory's make_snapshot): that it never takes
a process nobody checked for one without leaks, what is suppressed, who is a suspect, and that SARIF is SARIF."""

import json
import pathlib
import re
import subprocess

import pytest

import recording

pytestmark = pytest.mark.untimed

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "tests" / "node"
BIN = recording.BUILD / "bin"

HEAP = """comm demo
heap 401000;402000;403000 300 30000 100 10000
heap 401000;402000;404000 50 5000 0 0
heap 401000;405000 5 500 0 0
"""
CHECKED = HEAP + """check 2 ptrace
leak 401000;402000;403000 direct 0 20 2000 20 2000 5 58 0
leak 401000;402000;404000 indirect 401000;402000;403000 40 4000 30 3000 10 10 0
leak 401000;405000 direct 0 5 500 0 0 59 59 0
"""


def snapshot(path, text):
    subprocess.run([BIN / "make_snapshot", path], input=text, text=True, check=True, timeout=60)
    return path


def leaks(*words, status=0):
    done = subprocess.run([recording.ANALYZE, "leaks", *map(str, words)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}"
    return done


def as_json(*words):
    return json.loads(leaks("--json", *words).stdout)


def test_direct_leaks_with_what_they_hold(tmp_path):
    path = snapshot(tmp_path / "a.snap", CHECKED)
    text = leaks(path).stdout
    assert "demo+0x403000: leak: 2,000 bytes in 20 blocks, direct, confirmed" in text
    assert "    the oldest was allocated 55.00 s, the newest 2.00 s before the check" in text
    assert "\n    demo+0x404000: held: 4,000 bytes in 40 blocks, indirect, partly confirmed" in text
    assert "demo+0x405000: leak: 500 bytes in 5 blocks, direct, not confirmed" in text
    assert text.index("held: ") < text.index("demo+0x405000: leak")
    assert "summary: 6,500 bytes in 65 blocks leaked (direct 25, indirect 40; confirmed 50)" in text
    assert "the program stood still for 1.23 ms" in text and "looked at 1,234 blocks" in text
    assert max(map(len, text.splitlines())) <= 80
    full = as_json(path)
    assert (full["leaked_bytes"], full["leaked_blocks"], full["reachability_checked"]) == (6500, 65, True)
    rows = [(r["bytes"], r["blocks"], r["kind"], r["confirmed"], r["owner"]) for r in full["leaks"]]
    assert rows == [(4000, 40, "indirect", False, 1), (2000, 20, "direct", True, None), (500, 5, "direct", False, None)]
    assert full["leaks"][1]["frames"] == ["demo+0x403000", "demo+0x402000", "demo+0x401000"]
    assert full["not_freed"] is None and full["check"]["pause_ns"] == 1234567
    assert len(as_json("--top", 1, path)["leaks"]) == 1
    frame = as_json("--full-frames", path)["leaks"][0]["frames"][0]
    assert frame["function"] == "demo+0x404000" and frame["module"] == "/nowhere/demo" and frame["offset"] == 0x404000


@pytest.mark.parametrize("lines, words", [
    ("", "Not checked for leaks: nothing is known"),
    ("uncheckable ptrace is not permitted here\n", "could not be done: ptrace is not permitted here"),
])
def test_not_checked_is_not_without_leaks(tmp_path, lines, words):
    path = snapshot(tmp_path / "a.snap", HEAP + lines)
    text = leaks(path).stdout
    assert words in text and "no leaks" not in text and "?" not in text
    assert "Not freed when this was written, which is no leak by itself: 24.9 KiB in 255 blocks" in text
    found = as_json(path)
    assert found["leaked_bytes"] is None and found["leaks"] == [] and found["reachability_checked"] is False
    assert found["not_freed"]["bytes"] == 25500 and len(found["not_freed"]["stacks"]) == 3
    assert "cannot tell whether there are leaks" in leaks("--fail-on-leak", path, status=1).stderr
    for picture in ("folded", "flamegraph"):
        done = leaks("--format", picture, path, status=1)
        assert done.stdout == "" and "was not checked for unreachable blocks" in done.stderr
    run = json.loads(leaks("--format", "sarif", path).stdout)["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False and run["results"] == []


def test_no_leaks_is_said_only_of_a_whole_check(tmp_path):
    clean = snapshot(tmp_path / "a.snap", HEAP + "check 2 ptrace\n")
    assert "no leaks: every block can be reached" in leaks("--fail-on-leak", clean).stdout
    sampled = snapshot(tmp_path / "b.snap", HEAP + "sampled 524288\ncheck 2 ptrace\n")
    text = leaks(sampled).stdout
    assert "no leaks" not in text and "does not say that there is none" in text


def test_sampled_mode_says_at_least(tmp_path):
    path = snapshot(tmp_path / "a.snap", HEAP + "sampled 524288\ncheck 2 ptrace\n"
                    "leak 401000;405000 direct 0 4 4194304 4 4194304 5 6 1048576\n")
    text = leaks(path).stdout
    assert "leak: at least 4.0 MiB (+- 1.0 MiB), from 4 samples" in text
    assert "blocks, direct" not in text and "4,194,304" not in text
    assert "only sampled blocks are known" in text
    found = as_json(path)
    assert found["lower_bound"] is True and found["leaks"][0]["error_bytes"] == 1048576


def test_fail_on_leak(tmp_path):
    path = snapshot(tmp_path / "a.snap", CHECKED)
    assert "leak: 2,000 bytes" in leaks("--fail-on-leak", path, status=3).stdout
    known = tmp_path / "known.supp"
    known.write_text("# ours\n\nleak:0x403000\n  leak:0x405*$\n")
    text = leaks("--fail-on-leak", "--suppressions", known, path).stdout
    assert "no leaks besides what is suppressed" in text
    listed = re.findall(r"^ +(\d+) +(\d+)  leak:(\S+)  \((.*)\)$", text, re.M)
    assert listed == [("6000", "60", "0x403000", f"{known}:3"), ("500", "5", "0x405*$", f"{known}:4")]
    assert "suppressed" not in leaks("--no-suppressions", path).stdout


def test_suppressions_of_the_program_and_of_files(tmp_path, monkeypatch):
    path = snapshot(tmp_path / "a.snap", CHECKED + "hide leak:0x405\nhide what is this\n")
    found = as_json(path)
    assert found["leaked_bytes"] == 6000
    assert [(s["template"], s["source"], s["bytes"]) for s in found["suppressed"]] == [("0x405", "the program", 500)]
    assert any("the program:2: 'what is this' is no suppression" in note for note in found["notes"])
    assert as_json("--no-suppressions", path)["leaked_bytes"] == 6500
    bad = tmp_path / "bad.supp"
    bad.write_text("leak:a\nrace:b\n")
    done = leaks("--suppressions", bad, path, status=2)
    assert done.stderr == f"probe-analyze: {bad}:2: 'race:b' is no suppression; lines are leak:TEMPLATE\n"
    assert "cannot open suppressions nowhere.supp" in leaks("--suppressions", "nowhere.supp", path, status=2).stderr
    leaks("--suppressions", bad, "--no-suppressions", path, status=2)
    # A relative path that is not here is looked for beside the program: the recording's exe is /nowhere/example.
    (tmp_path / "here.supp").write_text("leak:0x403000\n")
    monkeypatch.chdir(tmp_path)
    assert as_json("--suppressions", "here.supp", path)["leaked_bytes"] == 0


def test_metric_leaked_says_what_it_is_of(tmp_path):
    def analyze(*words):
        return subprocess.run([recording.ANALYZE, *map(str, words)], capture_output=True, text=True, timeout=60)

    checked, other = snapshot(tmp_path / "a.snap", CHECKED), snapshot(tmp_path / "b.snap", HEAP)
    report = json.loads(analyze("report", "-m", "leaked", "--json", checked).stdout)
    assert report["total"] == 6500 and report["reachability_checked"] is True
    report = json.loads(analyze("report", "-m", "leaked", "--json", other).stdout)
    assert report["total"] == 25500 and report["reachability_checked"] is False
    assert ": bytes leaked" in analyze("flamegraph", "-m", "leaked", checked).stdout
    assert ": bytes not freed" in analyze("flamegraph", "-m", "leaked", other).stdout
    for command in ("diff", "flamegraph"):
        done = analyze(command, "-m", "leaked", checked, other)
        assert done.returncode == 2 and "do not compare" in done.stderr
    assert "401000;demo+0x402000;demo+0x403000 2000" in analyze("export", "-f", "folded", "-m", "leaked", checked).stdout
    picture = leaks("--format", "flamegraph", checked).stdout
    assert ": bytes leaked" in picture and "6.3 KiB in 65 blocks" in picture
    assert leaks("--format", "folded", checked).stdout.splitlines()[0] == "demo+0x401000;demo+0x402000;demo+0x404000 4000"


def growing(tmp_path, count, more=""):
    """Snapshots a minute apart: one stack grows by 60 KiB a minute, one fills up, one is a saw-tooth, one stays."""
    paths = []
    for i in range(count):
        leak, cache, saw = 1000 * (i + 1), min(3000 * (i + 1), 7000), [900, 100, 500][i % 3]
        text = f"comm demo\nend {60 * (i + 1)}\n" + "".join(
            f"heap 401000;{leaf} {alive + freed} {60 * (alive + freed)} {freed} {60 * freed}\n"
            for leaf, alive, freed in (("402000", leak, 3 * i), ("403000", cache, 0), ("404000", saw, 9000 * (i + 1)), ("405000", 50, 0)))
        paths.append(snapshot(tmp_path / f"{i}.snap", text + more))
    return paths


def test_suspects_grow_and_caches_do_not(tmp_path):
    paths = growing(tmp_path, 8)
    found = as_json(*reversed(paths))
    assert [s["frames"][0] for s in found["suspects"]] == ["demo+0x402000"]
    suspect = found["suspects"][0]
    assert abs(suspect["bytes_per_minute"] - 60000) < 1 and suspect["certainty"] == "steady"
    assert suspect["bytes_per_minute_low"] <= 60000 <= suspect["bytes_per_minute_high"]
    assert suspect["confidence"] > 0.99 and suspect["interval_level"] >= 0.95
    assert (suspect["blocks"], suspect["bytes"], suspect["grown_bytes"]) == (8000, 480000, 420000)
    assert suspect["survivors"][-1] == {"older_than_s": 420, "blocks": 1000 - 21}
    assert found["suspects_from"]["snapshots"] == 8
    text = leaks(*paths).stdout
    assert "demo+0x402000: suspect: +58.6 KiB a minute" in text and "steady: it grew in 7 of 7 intervals" in text
    assert "at least 979 of them older than 0h07m00s" in text
    assert "0x404000: suspect" not in text
    assert leaks("--fail-on-leak", *paths, status=1)  # suspects are no leaks, and nobody checked


def test_few_snapshots_and_strangers(tmp_path):
    paths = growing(tmp_path, 2)
    found = as_json(*paths)
    assert {s["certainty"] for s in found["suspects"]} == {"possible"}
    assert "three tell more" in leaks(*paths).stdout
    assert as_json(paths[1], paths[1])["suspects_from"]["snapshots"] == 1
    stranger = snapshot(tmp_path / "stranger.snap", HEAP + "pid 99\n")
    found = as_json(paths[0], stranger)
    assert found["suspects"] == [] and "different processes" in found["suspects_from"]["note"]
    assert found["pid"] == 99


def test_the_newest_checked_snapshot_is_told(tmp_path):
    old = snapshot(tmp_path / "a.snap", CHECKED + "end 50\n")
    checked = snapshot(tmp_path / "b.snap", CHECKED + "end 60\nnote seen later\n")
    late = snapshot(tmp_path / "c.snap", HEAP + "end 90\n")
    for order in ((old, checked, late), (late, checked, old), (checked, late, old)):
        found = as_json(*order)
        assert found["snapshot"] == str(checked) and found["notes"] == ["seen later"]


def test_growth_that_is_leaked_is_no_suspect(tmp_path):
    paths = growing(tmp_path, 7) + [snapshot(tmp_path / "last.snap", """comm demo
end 480
heap 401000;402000 8021 481260 21 1260
heap 401000;403000 7000 420000 0 0
heap 401000;405000 50 3000 0 0
check 2 ptrace
leak 401000;402000 direct 0 7500 450000 7500 450000 5 58 0
""")]
    assert as_json(*paths)["suspects"] == []
    text = leaks(*paths).stdout
    assert "1 more stack grows: told above as a leak" in text


def test_survivors_of_one_snapshot(tmp_path):
    lived = "comm demo\nheap 401000;402000 1100 66000 1000 60000\nlived 2 1000\nheap 401000;405000 100 500 0 0\n"
    found = as_json(snapshot(tmp_path / "a.snap", lived))
    assert [(s["frames"][0], s["reason"], s["certainty"]) for s in found["suspects"]] == [("demo+0x402000", "survives", "possible")]
    text = leaks(tmp_path / "a.snap").stdout
    assert "99 of 100 freed blocks of this stack lived less than 16.4 us" in text.replace("µs", "us")


def symbols_program():
    """A program of known lines, its build-id, and an address in one of its functions."""
    path = next(recording.BUILD.rglob("symbols_c"), None)
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    table = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    address = {name: int(at, 16) for at, _, name in re.findall(r"^(\w+) (\w) (\w+)$", table, re.M)}
    return path, re.search(r"Build ID: (\w+)", notes).group(1), address


def test_places_are_files_and_lines(tmp_path):
    program, build_id, address = symbols_program()
    leaf, root = f"{address['outer'] + 4:x}", f"{address['main'] + 4:x}"
    path = snapshot(tmp_path / "a.snap", f"module {build_id} {program}\nheap {root};{leaf} 4 64 0 0\ncheck 1 signals\n"
                    f"leak {root};{leaf} direct 0 4 64 0 0 5 6 0\n")
    text = leaks(path).stdout
    assert re.search(r"^symbols_c\.c:\d+: leak: 64 bytes in 4 blocks, direct, not confirmed$", text, re.M)
    assert "note: checked once" in text
    full = leaks("--full-frames", path).stdout
    assert re.search(r"^/.*/symbols_c\.c:\d+: leak: ", full, re.M)
    hidden = tmp_path / "file.supp"
    hidden.write_text("leak:fake/symbols_c.c$\n")
    assert as_json("--suppressions", hidden, path)["leaked_bytes"] == 0  # by name, and by a file that is not shown
    result = json.loads(leaks("--format", "sarif", path).stdout)["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/symbols_c.c") and place["region"]["startLine"] > 10


@pytest.fixture(scope="session")
def validate():
    if not (NODE / "node_modules" / "@microsoft" / "jest-sarif").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, check=True, timeout=300, capture_output=True)

    def run(path):
        return subprocess.run(["node", NODE / "sarif_validate.mjs", path], capture_output=True, text=True, timeout=60)

    return run


def test_sarif_is_valid(tmp_path, validate):
    """Against the schema of SARIF 2.1.0; and the schema does refuse what is none."""
    known = tmp_path / "known.supp"
    known.write_text("leak:0x405\n")
    cases = {
        "checked": (leaks("-f", "sarif", "--suppressions", known, snapshot(tmp_path / "a.snap", CHECKED)), 3),
        "sampled": (leaks("-f", "sarif", snapshot(tmp_path / "b.snap", CHECKED + "sampled 1024\n")), 3),
        "not": (leaks("-f", "sarif", snapshot(tmp_path / "c.snap", HEAP + "uncheckable \u00fcber\n")), 0),
        "suspects": (leaks("-f", "sarif", *growing(tmp_path, 6)), 1),
    }
    for name, (done, results) in cases.items():
        path = tmp_path / f"{name}.sarif"
        path.write_text(done.stdout)
        said = validate(path)
        assert said.returncode == 0, f"{name}: {said.stderr[-3000:]}"
        assert int(said.stdout) == results, name
    log = json.loads(cases["checked"][0].stdout)
    hidden = [r["suppressions"] for r in log["runs"][0]["results"]]
    assert [len(s) for s in hidden] == [0, 0, 1] and "0x405" in hidden[2][0]["justification"]
    prints = [r["partialFingerprints"]["allocationStack/v1"] for r in log["runs"][0]["results"]]
    assert len(set(prints)) == 3
    log["runs"][0]["results"][0]["level"] = "dreadful"
    (tmp_path / "bad.sarif").write_text(json.dumps(log))
    assert validate(tmp_path / "bad.sarif").returncode == 1

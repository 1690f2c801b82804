"""Stacks that are hard to walk: very deep ones, code without tables, code that is unloaded while others unwind."""

import shutil

import pytest

from recording import VICTIMS, info, one, record, report

pytestmark = pytest.mark.untimed

FULL = {"heap": "full", "cpu": 499}
HEAP = {"heap": "full", "cpu": 0}


def stacks(path, function, metric="alloc-count"):
    """Frames of the stacks with that function on them, innermost first, each with its value."""
    return [(s["frames"], s["value"]) for s in report(path, metric)["stacks"] if function in s["frames"]]


@pytest.mark.parametrize("depth", [100, 240, 260, 900, 3000])
def test_a_deep_recursion_keeps_its_root(tmp_path, depth):
    record(tmp_path, [VICTIMS / "victim_unwinding", "deep", depth], **HEAP)
    path = one(tmp_path)
    ((frames, count),) = stacks(path, "allocate_here")
    assert count == 1
    assert frames[:3] == ["malloc", "allocate_here", "down"] or frames[:2] == ["allocate_here", "down"], frames[:4]
    at = frames.index("main")
    assert at > min(depth, 220) and frames[-1] in ("_start", "main"), frames[-4:]
    assert set(frames[frames.index("down"):at]) == ({"down"} if depth < 250 else {"down", "[... frames left out]"})
    assert frames.count("[... frames left out]") == (depth >= 250)
    assert info(path)["lost"]["unwind.elided"] == (depth >= 250)
    assert info(path)["lost"]["unwind.truncated"] == 0


def test_other_code_at_the_address_of_code_that_went(tmp_path):
    """The frames of the two plugins have different sizes: a rule kept from the one that stood there before leads astray."""
    rounds = 400
    plugins = [VICTIMS / "libplugin_small.so", VICTIMS / "libplugin_large.so"]
    done = record(tmp_path, [VICTIMS / "victim_unwinding", "reload", *plugins, rounds], **HEAP)
    same = int(done.stdout.split()[-1])
    assert same > rounds / 2, "or nothing was tested"
    path = one(tmp_path)
    seen = stacks(path, "allocate_here")
    through = sum(value for frames, value in seen if "reload" in frames)
    assert through == rounds * 10
    for frames, _ in seen:
        assert frames[-1] in ("_start", "main", "clone3", "__clone3", "clone", "start_thread"), frames
        assert "[truncated]" not in frames
    assert info(path)["lost"]["unwind.bad_stack"] == 0


NODE = """
const out = [];
for (let i = 0; i < 300; i++) out.push(JSON.parse(JSON.stringify({i, s: 'x'.repeat(i), a: [...Array(i).keys()]})));
const until = Date.now() + 500;
let sum = 0;
while (Date.now() < until) sum += JSON.stringify(out[sum % 300]).length;
console.log(out.length);
"""


def test_node_s_builtins_have_no_tables_and_its_stacks_are_complete(tmp_path):
    assert shutil.which("node"), "not installed: nodejs (scripts/setup test)"
    record(tmp_path, ["node", "-e", NODE], **FULL)
    path = one(tmp_path)
    for metric in ("cpu", "alloc-count"):
        total = cut = 0
        for stack in report(path, metric)["stacks"]:
            total += stack["value"]
            cut += stack["value"] if stack["frames"][-1] == "[truncated]" else 0
        assert total > 100
        assert cut <= total * 0.02, (metric, cut, total)

"""probe-load lint: the plans of tests/plans as they are, findings with their lines, what cannot be read."""
import copy
import json
import os
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PERFPROBE_BUILD", ROOT / "build" / "release"))
PROBE_LOAD = BUILD / "bin" / "probe-load"
PLANS = ROOT / "tests" / "plans"
SCHEMA = json.loads((ROOT / "docs" / "plan.schema.json").read_text())


def lint(*args, **kwargs):
    return subprocess.run([PROBE_LOAD, "lint", *map(str, args)], capture_output=True, text=True, timeout=30, **kwargs)


def findings(path, done):
    lines = done.stdout.splitlines()
    found = [re.fullmatch(rf"{re.escape(str(path))}:(\d+): (.+)", line) for line in lines]
    assert all(found), done.stdout
    return [(int(m[1]), m[2]) for m in found]


def test_the_jmeter_plan():
    path = PLANS / "jmeter-test-plan.jmx"
    done = lint(path)
    assert done.returncode == 3 and done.stderr == ""
    found = findings(path, done)
    lines = path.read_text().splitlines()
    alone = [line for line, text in found if "never more than one user at a time" in text]
    assert len(alone) == 1 and "<ThreadGroup" in lines[alone[0] - 1]
    assert any("50 users start 6.00 s apart" in text and "10 requests each" in text for _, text in found)
    assert any("duration of" in text and "is not reached" in text for _, text in found)
    url = [line for line, text in found if "the server's name is a URL, 'http://localhost:3000'" in text]
    assert len(url) == 1 and 'testname="Login"' in lines[url[0] - 1]
    header = [line for line, text in found if "HTTPsampler.header_manager" in text]
    assert len(header) == 1 and "HTTPsampler.header_manager" in lines[header[0] - 1]
    assert any("'auth_token' is captured and never used" in text for _, text in found)


def test_the_artillery_script():
    path = PLANS / "artillery-config.yml"
    done = lint(path)
    assert done.returncode == 3 and done.stderr == ""
    found = findings(path, done)
    lines = path.read_text().splitlines()
    apart = [line for line, text in found if "'users' is drawn from 2 times in one request" in text]
    assert len(apart) == 1 and "- post:" in lines[apart[0] - 1]
    for name, count in (("$randomItem", 2), ("$randomInt", 1)):
        where = [line for line, text in found if text.startswith(name + " is no function of Artillery's")]
        assert len(where) == count and all(name in lines[line - 1] for line in where)
    assert [lines[line - 1] for line, text in found if "processor" in text] == ["  processor: './test-processor.js'"]
    assert sum("has no name of its own" in text for _, text in found) == 3


OWN = {
    "version": 1,
    "defaults": {"baseUrl": "http://127.0.0.1:1"},
    "thresholds": {"http_reqs": ["rate>100"]},
    "scenarios": {"s": {"executor": "constant-vus", "vus": 10, "duration": "1m", "flow": [{"get": "/"}, {"think": 2}]}},
}


def test_a_threshold_that_cannot_pass(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(OWN, indent=1))
    done = lint(path)
    (line, text), = findings(path, done)
    assert done.returncode == 3 and "'http_reqs: rate>100' cannot pass" in text
    assert "rate>100" in path.read_text().splitlines()[line - 1]
    done = lint(path, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout) == {"plan": str(path), "kind": "probe-load", "findings": [{"line": line, "text": text}]}
    plan = copy.deepcopy(OWN)
    plan["thresholds"]["http_reqs"] = ["rate>4"]
    path.write_text(json.dumps(plan))
    done = lint(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name, text, reason", [
    ("a.json", '{"scenarios": {\n "s": }', "2: this is no JSON value"),
    ("a.yml", "config:\n  target: http://h\n phases: 1\n", "3: "),
    ("a.jmx", "<?xml version='1.0'?>\n<jmeterTestPlan>\n<a></b>", "3: mismatched tag"),
    ("a.js", "import http from 'k6/http';\n", "1: k6 scripts are not built yet"),
    ("a.bin", "\0\1\2", "1: this is no plan"),
])
def test_what_cannot_be_read(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_text(text)
    done = lint(path)
    assert done.returncode == 111 and done.stdout == ""
    assert done.stderr.startswith(f"probe-load: {path}:{reason}")


def test_usage(tmp_path):
    assert lint(tmp_path / "none.jmx").returncode == 111
    assert lint(tmp_path).returncode == 111
    assert lint().returncode == 1
    assert lint("a", "b").returncode == 1
    done = lint("--help")
    assert done.returncode == 0 and "usage: probe-load lint" in done.stdout
    full = subprocess.run([PROBE_LOAD, "lint", PLANS / "artillery-config.yml"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, timeout=30)
    assert full.returncode == 1 and b"cannot write" in full.stderr


def test_values_from_outside(tmp_path):
    """-J, -e and --target reach the plan: a name that is then no host is refused, or not found missing."""
    plan = PLANS / "jmeter-test-plan.jmx"
    done = lint(plan, "-Jbase_url=http://bad host")
    assert done.returncode == 111 and "bad host" in done.stderr
    done = lint(plan, "--target", "http://127.0.0.1:8080")
    assert done.returncode == 3
    script = tmp_path / "a.yml"
    script.write_text("config:\n  target: 'http://h/{{ $env.PART }}'\n  phases: [{duration: 1, arrivalRate: 1}]\nscenarios:\n  - flow:\n      - get: {url: /}\n")
    assert "$env.PART is not set" in lint(script).stdout
    assert lint(script, "-e", "PART=x").returncode == 0


def test_rows_of_files(tmp_path):
    """Files are looked for beside the plan, and only the ones that it names."""
    (tmp_path / "rows.csv").write_text('id,name\n1,"a, b"\n2,c\n')
    path = tmp_path / "plan.json"
    plan = copy.deepcopy(OWN)
    plan.pop("thresholds")
    plan["feeders"] = {"rows": {"file": "rows.csv"}}
    plan["scenarios"]["s"]["flow"] = [{"feed": "rows"}, {"get": {"url": "/${id}/${name}", "name": "x"}}]
    path.write_text(json.dumps(plan))
    assert lint(path, cwd="/").returncode == 0
    plan["feeders"]["rows"]["file"] = "none.csv"
    path.write_text(json.dumps(plan))
    done = lint(path)
    assert done.returncode == 111 and "none.csv" in done.stderr


def test_the_schema_is_what_is_read(tmp_path):
    """What the schema allows is read, and what it does not allow is refused: tried by taking every name apart."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    whole = json.loads((ROOT / "tests" / "fuzz" / "corpus" / "plan" / "own.json").read_text())
    path = tmp_path / "plan.json"
    valid = jsonschema.Draft202012Validator(SCHEMA)
    for plan in (OWN, whole):
        valid.validate(plan)
        path.write_text(json.dumps(plan))
        assert lint(path).returncode in (0, 3)
    tried = 0
    for where in ((), ("defaults",), ("scenarios", "s"), ("scenarios", "s", "flow", 0, "get"), ("scenarios", "s", "flow", 0)):
        plan = copy.deepcopy(OWN)
        plan["scenarios"]["s"]["flow"] = [{"get": {"url": "/"}}, {"think": 1}]
        at = plan
        for key in where:
            at = at[key]
        at["nonsense"] = 1
        path.write_text(json.dumps(plan))
        if where[-1:] == (0,):  # a step's first key says what it is
            continue
        assert not valid.is_valid(plan) and lint(path).returncode == 111, where
        tried += 1
    assert tried == 4

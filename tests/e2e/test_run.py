"""probe-load run: the plans of tests/plans, unmodified, against a shop that keeps its own books."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from shop_server import ShopServer

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PERFPROBE_BUILD", ROOT / "build" / "release"))
PROBE_LOAD = BUILD / "bin" / "probe-load"
PLANS = ROOT / "tests" / "plans"


def run(*args, code=0, timeout=120):
    done = subprocess.run([PROBE_LOAD, "run", *map(str, args), "--json"], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def by_name(result):
    return {e["name"]: e["requests"] for e in result["endpoints"]}


def own(tmp_path, base, flow, **scenario):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"defaults": {"baseUrl": base, "cookies": True, "followRedirects": True},
                                "scenarios": {"s": {**scenario, "flow": flow}}}))
    return path


def test_the_jmeter_plan():
    """50 users, 10 loops of one login: 500, whatever the time scale, and each user begins 6 s (scaled) after the one before."""
    with ShopServer() as shop:
        begin = time.monotonic()
        result = run(PLANS / "jmeter-test-plan.jmx", f"-Jbase_url={shop.url}", "--time-scale", "0.01")
        took = time.monotonic() - begin
        assert shop.counts == {"login": 500} and shop.statuses == {200: 500}
        assert by_name(result) == {"Login": 500} and result["status"] == {"200": 500}
        assert result["iterations"] == 500 and result["iterations_failed"] == 0
        assert shop.content_types == {"application/json": 500}
        assert 2.9 < took < 10  # 49/50 of 300 s by 0.01, and little else


ARRIVALS = {0.01: 213}


def test_the_artillery_script():
    """21,300 arrivals at full length; durations a hundredth of that, at the same rates, are 213. Every count follows from how many of
    each kind of visitor there were."""
    with ShopServer() as shop:
        result = run(PLANS / "artillery-config.yml", "--target", shop.url, "--time-scale", "0.01", "--seed", "7")
        n = by_name(result)
        buyers, checks = n["POST /api/orders"], n["GET /health"]
        admins = n["GET /api/admin/dashboard"]
        assert buyers + admins + checks == result["iterations"] == ARRIVALS[0.01]
        assert result["dropped"] == result["cut_off"] == result["iterations_failed"] == 0
        # within four standard deviations of the weights 60, 20, 20
        assert abs(buyers - 0.6 * 213) < 29 and abs(admins - 0.2 * 213) < 24
        assert shop.counts == {"login": buyers + admins, "products": buyers, "product": buyers, "orders": buyers, "items": buyers,
                               "confirm": buyers, "dashboard": admins, "analytics": admins, "health": checks, "api health": checks}
        assert result["requests"] == 6 * buyers + 3 * admins + 2 * checks == sum(shop.counts.values())
        assert shop.statuses == {200: result["requests"] - 2 * buyers, 201: 2 * buyers}
        assert shop.connections == 213  # each visitor has its own
        assert set(shop.quantities) <= {1, 2, 3, 4, 5} and sum(shop.quantities.values()) == buyers
    with ShopServer() as shop:
        again = run(PLANS / "artillery-config.yml", "--target", shop.url, "--time-scale", "0.01", "--seed", "7")
        assert by_name(again) == n  # the same visitors
        other = run(PLANS / "artillery-config.yml", "--target", shop.url, "--time-scale", "0.01", "--seed", "8")
        assert by_name(other) != n


def test_pairs_go_together():
    """With passwords that differ, two independent draws would fail two logins of three."""
    script = (PLANS / "artillery-config.yml").read_text()
    for i in (1, 2, 3):
        script = script.replace(f"['user{i}@test.com', 'password123']", f"['user{i}@test.com', 'secret{i}']")
    assert script.count("secret") == 3
    passwords = {f"user{i}@test.com": f"secret{i}" for i in (1, 2, 3)} | {"admin@test.com": "admin123"}
    with ShopServer(passwords) as shop:
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"pairs-{os.getpid()}.yml"
        path.write_text(script)
        try:
            run(path, "--target", shop.url, "--time-scale", "0.01")
        finally:
            path.unlink()
        assert 401 not in shop.statuses and all(shop.logins[f"user{i}@test.com"] > 10 for i in (1, 2, 3))


def test_checks_redirects_and_cookies(tmp_path):
    with ShopServer() as shop:
        plan = own(tmp_path, shop.url, [{"get": {"url": "/moved", "check": [{"name": "there", "status": 200}]}}, {"get": "/cookie"}, {"get": "/cookie"},
                                        {"get": {"url": "/none", "check": [{"name": "missing", "status": 404}, {"name": "wrong", "status": 200}]}}],
                   vus=2, iterations=3, keepCookies=False)
        result = run(plan)
        assert shop.counts == {"moved": 6, "health": 6, "cookie": 12, "GET /none": 6}
        assert shop.cookies == {None: 6, "a=1": 6}
        assert {c["name"]: (c["passes"], c["fails"]) for c in result["checks"]} == {"there": (6, 0), "missing": (6, 0), "wrong": (0, 6)}
        assert by_name(result)["GET /moved"] == 12  # both hops


@pytest.mark.parametrize("executor, fields, iterations", [
    ("shared-iterations", {"vus": 4, "iterations": 50}, 50),
    ("per-vu-iterations", {"vus": 4, "iterations": 5}, 20),
    ("constant-arrival-rate", {"rate": 100, "duration": "500ms", "preAllocatedVUs": 20}, 50),
    ("ramping-arrival-rate", {"startRate": 0, "stages": [{"duration": "1s", "target": 100}], "preAllocatedVUs": 20}, 50),
])
def test_executors(tmp_path, executor, fields, iterations):
    with ShopServer() as shop:
        result = run(own(tmp_path, shop.url, [{"get": "/health"}], executor=executor, **fields))
        assert abs(result["iterations"] - iterations) <= (1 if "arrival" in executor else 0)
        assert shop.counts["health"] == result["iterations"]


def test_setup_hands_on(tmp_path):
    """What a setup user has captured, all others begin with."""
    with ShopServer() as shop:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({
            "defaults": {"baseUrl": shop.url},
            "scenarios": {
                "login": {"phase": "setup", "flow": [{"post": {"url": "/api/auth/login", "json": {"email": "admin@test.com", "password": "admin123"},
                                                              "capture": {"json": "$.token", "as": "token"}}}]},
                "look": {"vus": 3, "iterations": 2, "flow": [{"get": {"url": "/api/products", "headers": {"Authorization": "Bearer ${token}"}}}]}}}))
        run(path)
        assert shop.counts == {"login": 1, "products": 6} and shop.statuses == {200: 7}


def test_ends_by_a_signal(tmp_path):
    with ShopServer() as shop:
        plan = own(tmp_path, shop.url, [{"get": "/health"}, {"think": "10ms"}], executor="constant-vus", vus=2, duration="1m")
        driver = subprocess.Popen([PROBE_LOAD, "run", plan, "--json"], stdout=subprocess.PIPE, text=True)
        time.sleep(0.7)
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=20)
        assert driver.returncode == 105 and json.loads(out)["requests"] > 10


def test_refusals(tmp_path):
    assert subprocess.run([PROBE_LOAD, "run", tmp_path / "none"], capture_output=True, timeout=30).returncode == 111
    done = subprocess.run([PROBE_LOAD, "run", own(tmp_path, "https://127.0.0.1:1", [{"get": "/"}]), "--cacert", "/none"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "/none" in done.stderr
    done = subprocess.run([PROBE_LOAD, "run", own(tmp_path, "http://127.0.0.1:1", [{"get": "/"}])], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "connection refused" in done.stderr
    assert subprocess.run([PROBE_LOAD, "run", "x", "--time-scale", "0"], capture_output=True, timeout=30).returncode == 1

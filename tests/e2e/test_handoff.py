"""Requests that one thread reads and others work on: told by perfprobe.h, the samples are the right request's."""

import socket
import subprocess
import threading

import pytest

from recording import VICTIMS, Running, analyze, info, one
from test_requests import hang_up, get, port_of, requests_of, routes

ROUNDS = 3


def client(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        for _ in range(ROUNDS):
            s.sendall(get(path))
            assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
        hang_up(s)


def under_way_at_once(port, paths):
    threads = [threading.Thread(target=client, args=(port, path)) for path in paths]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def burned(request):
    """Samples by the function that burned them."""
    sums = {}
    for stack in request["stacks"]:
        for name in {f for f in stack["frames"] if f.startswith("burn_")}:
            sums[name] = sums.get(name, 0) + stack["value"]
    return sums


def served(tmp_path, *words):
    with Running(tmp_path, [VICTIMS / "victim_handoff", *words]) as server:
        under_way_at_once(port_of(server), ["/red", "/blue", "/red", "/job"])
        server.stop()
    data = requests_of(one(tmp_path))
    got = routes(data)
    assert {k: n for k, n in got.items() if k[0] == "GET"} == {("GET", "/red", 200): 2 * ROUNDS, ("GET", "/blue", 200): ROUNDS, ("GET", "/job", 200): ROUNDS}
    assert got[("WORK", "job/*", 0)] == ROUNDS and data["count"] == 5 * ROUNDS and data["unanswered"] == 0
    shares = data["attribution"]
    assert shares["exact"] + shares["ambiguous"] + shares["none"] == shares["samples"]
    return data


def test_told(tmp_path):
    data = served(tmp_path, "told")
    for r in data["slowest"]:
        # 150 ms of CPU time at 99 Hz: 15 samples.
        want = {"/red": "burn_red", "/blue": "burn_blue", "job/4711": "burn_job", "/job": None}[r["path"]]
        sums = burned(r)
        assert r["ambiguous_samples"] == 0
        assert set(sums) == ({want} if want else set()), r
        if want:
            assert 10 <= sums[want] <= 20, r
    shares = data["attribution"]
    assert shares["ambiguous"] == 0 and shares["exact"] >= 0.9 * shares["samples"] >= 100
    text = analyze("requests", one(tmp_path)).stdout
    assert f"of one request for certain {shares['exact']} (" in text and f"of none {shares['none']} (" in text
    assert " WORK job/4711\n" in text and info(one(tmp_path))["lost"]["http.given_up"] == 0


def test_not_told(tmp_path):
    """What the pool burns for HTTP requests is on none of them; work that is told is work."""
    data = served(tmp_path)
    for r in data["slowest"]:
        sums = burned(r)
        if r["method"] == "WORK":
            assert 10 <= sums["burn_job"] <= 20 and r["ambiguous_samples"] == 0
        else:
            assert sums == {}, r
    shares = data["attribution"]
    assert shares["none"] >= 0.6 * shares["samples"] >= 60


@pytest.mark.parametrize("words", [[], ["told"]])
def test_without_the_library(words):
    with subprocess.Popen([VICTIMS / "victim_handoff", *words], stdout=subprocess.PIPE, text=True) as server:
        try:
            under_way_at_once(int(server.stdout.readline().split()[1]), ["/red", "/job"])
            assert server.poll() is None
        finally:
            server.kill()


def test_requests_off(tmp_path):
    with Running(tmp_path, [VICTIMS / "victim_handoff", "told"], http="off") as server:
        under_way_at_once(port_of(server), ["/red", "/job"])
        server.stop()
    assert info(one(tmp_path))["requests"]["count"] == 0

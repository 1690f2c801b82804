"""Requests seen from inside the server: as many as the clients made, by route and status, and as long as they say."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

import recording
from recording import BUILD, Running, analyze, info, one, wait_until


def requests_of(path):
    return json.loads(analyze("requests", "--json", "--top", 10000, path).stdout)


def routes(data):
    return {(r["method"], r["route"], r["status"]): r["count"] for r in data["routes"]}


def port_of(server):
    wait_until(lambda: re.search(r"(?:127.0.0.1:|port )(\d+)", server.output()), what="a port")
    return int(re.search(r"(?:127.0.0.1:|port )(\d+)", server.output()).group(1))


def sample_server():
    return [BUILD / "bin" / "sample_server", "--port", "0"]


def read_responses(sock, count):
    """Reads so many responses with a Content-Length; their statuses."""
    stream, statuses = sock.makefile("rb"), []
    for _ in range(count):
        statuses.append(int(stream.readline().split()[1]))
        length, chunked = 0, False
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, value = line.lower().split(b":", 1)
            length = int(value) if name == b"content-length" else length
            chunked = chunked or (name == b"transfer-encoding" and b"chunked" in value)
        while chunked and (size := int(stream.readline(), 16)) + 1:
            stream.read(size + 2)
            chunked = size > 0
        stream.read(length)
    return statuses


def get(path, extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode()


def wait_for_idle(port):
    """Until the sample server has no other connection: a client has its answer before the server's write is back."""

    def alone():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/stats")
        stats = json.loads(connection.getresponse().read())
        connection.close()
        return stats["connections"] == 1

    wait_until(alone, what="the end of all connections")


def without_stats(data):
    """Routes, and the number of requests, but for those of wait_for_idle(), of which the last may not be counted yet."""
    got = routes(data)
    polls = got.pop(("GET", "/stats", 200), 0)
    return got, data["count"] - polls


def hang_up(sock):
    """Ends the connection and waits for the server to do so: then its writes are back."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def timed_closely(port, path, count):
    """As timed(), with as little of this program's own time as can be."""
    took = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = get(path)
        for _ in range(count):
            start = time.monotonic()
            s.sendall(text)
            answer = s.recv(65536)
            took.append((time.monotonic() - start) * 1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
    return took


def timed(port, path, count):
    """Keep-alive requests; what each took, in ms."""
    connection, took = http.client.HTTPConnection("127.0.0.1", port, timeout=20), []
    for _ in range(count):
        start = time.monotonic()
        connection.request("GET", path)
        connection.getresponse().read()
        took.append((time.monotonic() - start) * 1000)
    if connection.sock:  # else the server has closed it
        hang_up(connection.sock)
    connection.close()
    return took


def test_sample_server_by_all_ways(tmp_path):
    with Running(tmp_path, sample_server(), latency="50ms") as server:
        port = port_of(server)
        took = timed_closely(port, "/cpu?ms=20", 20)
        timed(port, "/chunked?n=40000", 7)
        timed(port, "/cpu?ms=80", 2)
        for code in (204, 304, 404, 500):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", f"/status?code={code}")
            assert connection.getresponse().status == code
            connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:  # pipelined, in pieces
            text = get("/") * 30 + get("/bytes?n=5000") * 3
            for at in range(0, len(text), 7):
                s.sendall(text[at:at + 7])
            assert read_responses(s, 33) == [200] * 33
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:  # no request at all
            s.sendall(b"GET foo\r\n\r\n")
            s.settimeout(2)
            try:
                s.recv(1000)
            except TimeoutError:
                pass
        wait_for_idle(port)
        server.stop()
    data = requests_of(one(tmp_path, "*.exit.snap"))
    got, count = without_stats(data)
    assert {k: got.get(k) for k in [("GET", "/cpu", 200), ("GET", "/chunked", 200), ("GET", "/", 200), ("GET", "/bytes", 200)]} == {
        ("GET", "/cpu", 200): 22, ("GET", "/chunked", 200): 7, ("GET", "/", 200): 30, ("GET", "/bytes", 200): 3}
    assert [got.get(("GET", "/status", code)) for code in (204, 304, 404, 500)] == [1, 1, 1, 1]
    assert count == sum(got.values()) == 22 + 7 + 30 + 3 + 4
    figures = info(one(tmp_path, "*.exit.snap"))
    assert figures["requests"]["count"] == data["count"] and figures["requests"]["slow"] == data["slow"] >= 2
    # In the order in which they came. The client's time has the way there and back in it; on a busy machine, waiting for a
    # processor too, in both processes: one of the twenty must have met none of that.
    inside = sorted((r for r in data["slowest"] if r["path"] == "/cpu"), key=lambda r: r["start_ns"])
    assert len(inside) == 22
    apart = sorted(abs(client - r["duration_ms"]) for client, r in zip(took, inside))
    assert apart[0] < 0.2, apart
    # Those that burned 80 ms of CPU time have the stacks that burned it: 8 samples each at 99 Hz.
    for slow in inside[20:]:
        assert slow["duration_ms"] >= 80 and slow["samples"] >= 4, slow
        names = {f for s in slow["stacks"] for f in s["frames"]}
        assert {"cpu_inner", "cpu_handler"} <= names, slow
    assert data["attribution"]["attributed"] >= 30 and data["attribution"]["ambiguous"] == 0


def test_load_driver_counts_the_same(tmp_path):
    with Running(tmp_path, sample_server()) as server:
        port = port_of(server)
        done = subprocess.run([BUILD / "bin" / "probe-load", f"http://127.0.0.1:{port}/bytes?n=100", "-n", "5000", "-c", "8",
                               "--json"], capture_output=True, text=True, timeout=60)
        wait_for_idle(port)
        server.stop()
    assert done.returncode in (0, 113), done.stderr
    data = requests_of(one(tmp_path, "*.exit.snap"))
    assert without_stats(data) == ({("GET", "/bytes", 200): 5000}, 5000)
    assert info(one(tmp_path, "*.exit.snap"))["lost"]["http.given_up"] == 0


def test_off(tmp_path):
    with Running(tmp_path, sample_server(), http="off") as server:
        timed(port_of(server), "/", 5)
        server.stop()
    done = analyze("requests", one(tmp_path, "*.exit.snap"), check=False)
    assert done.returncode == 1 and "PERFPROBE_HTTP=off" in done.stderr
    assert info(one(tmp_path, "*.exit.snap"))["requests"]["count"] == 0


def test_python_server(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_bytes(b"x" * 300000)
    command = [sys.executable, "-u", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1", "-d", tmp_path / "files", "0"]
    with Running(tmp_path, command) as server:
        port = port_of(server)
        timed(port, "/a.txt", 12)
        timed(port, "/missing", 3)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(get("/a.txt") * 9)
            assert read_responses(s, 9) == [200] * 9
            hang_up(s)
        server.stop(how=recording.signal.SIGTERM)
    data = requests_of(one(tmp_path, "*.exit.snap"))
    assert routes(data) == {("GET", "/a.txt", 200): 21, ("GET", "/missing", 404): 3}
    assert all(r["bytes_out"] > 300000 for r in data["slowest"] if r["status"] == 200)


NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_nginx(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    root = tmp_path / "root"
    root.mkdir()
    (root / "f.bin").write_bytes(b"y" * 200000)
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
server {{ listen 127.0.0.1:{port}; root {root}; location /ok {{ return 200 "fine"; }} }} }}
""")
    with Running(tmp_path, [NGINX, "-p", tmp_path, "-c", conf]) as server:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="nginx")
        timed(port, "/ok", 50)
        timed(port, "/f.bin", 8)  # sendfile
        timed(port, "/none", 2)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(get("/ok") * 40 + b"HEAD /f.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            stream = s.makefile("rb")
            statuses = 0
            while statuses < 41:
                line = stream.readline()
                statuses += line.count(b"HTTP/1.1 ")
            hang_up(s)
        server.stop(how=recording.signal.SIGTERM)
    data = requests_of(one(tmp_path, "*.exit.snap"))
    assert routes(data) == {("GET", "/ok", 200): 90, ("GET", "/f.bin", 200): 8, ("GET", "/none", 404): 2, ("HEAD", "/f.bin", 200): 1}
    assert data["count"] == 101 and data["unanswered"] == 0

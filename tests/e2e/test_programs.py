"""Unmodified Debian programs under the library, in full heap mode with CPU sampling: they give the same answers as without
it, carry a real load, and their profiles name what is truly hot."""

import glob
import json
import os
import pwd
import random
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from recording import Running, free_port, inclusive, info, need, one, port_open, record, report, snapshots, usable_by_all, wait_until

FULL = {"heap": "full", "cpu": 499}


def share(path, function, metric="cpu"):
    functions, total = inclusive(path, metric)
    return functions.get(function, 0) / total if total else 0


def healthy(path):
    """The snapshot is readable, has both kinds of data, and lost next to nothing."""
    data = info(path)
    assert data["engine"]["heap"] == "full"
    assert data["heap"]["alloc_count"] > 0
    lost = data["lost"]
    for cause in ("cpu.dropped", "heap.table_full", "stacks.full", "threads.unrecorded", "modules.full", "snapshot.failed"):
        assert lost[cause] == 0, (cause, lost)
    return data


# ---- programs that run to their end


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A JSON document of about 8 MB and an XML document of about 5 MB, the same in every run."""
    directory = tmp_path_factory.mktemp("inputs")
    rng = random.Random(7)
    rows = [{"id": i, "name": f"user{i}", "tags": [rng.choice("abcdef") * 5 for _ in range(4)], "v": rng.random(),
             "nested": {"a": i, "b": [1, 2, 3]}} for i in range(60000)]
    (directory / "big.json").write_text(json.dumps(rows))
    rows = "".join(f'<row id="{i}"><name>user{i}</name><v unit="s">{rng.random()}</v></row>' for i in range(60000))
    (directory / "big.xml").write_text(f"<rows>{rows}</rows>")
    return directory


PYTHON = """
import json, threading
out = []
def work(n):
    out.append(len(json.dumps([{'i': i, 's': str(i)} for i in range(n)])))
threads = [threading.Thread(target=work, args=(30000 + i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(out))
"""
SQL = ("create table t(a integer primary key, b text); with recursive c(x) as (select 1 union all select x + 1 from c where "
       "x < 300000) insert into t select x, printf('%08d', x * 7919 % 300000) from c; select count(*), max(b) from t; "
       "select a from t order by b limit 3;")
NODE = ("const c = require('crypto'); console.log(c.pbkdf2Sync('a', 'b', 300000, 64, 'sha512').toString('hex'));"
        "console.log(JSON.stringify([...Array(50000).keys()].map(i => ({i}))).length)")

ENDING = [
    # program, arguments, a function and the least share of CPU time that it is on the stack
    ("jq", ["[.[] | .v + .nested.a] | add", "big.json"], "jv_parser_next", 0.2),
    ("xmllint", ["--format", "big.xml"], "xmlParseDocument", 0.2),
    ("sqlite3", [":memory:", SQL], "sqlite3_step", 0.5),
    ("/usr/bin/python3", ["-c", PYTHON], "_PyEval_EvalFrameDefault", 0.5),
    ("node", ["-e", NODE], None, 0),
]


@pytest.mark.parametrize("program,arguments,hot,least", ENDING, ids=[os.path.basename(e[0]) for e in ENDING])
def test_same_answer_and_the_hot_function(tmp_path, inputs, program, arguments, hot, least):
    need(program)
    command = [program, *[str(inputs / a) if a in ("big.json", "big.xml") else a for a in arguments]]
    plain = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    done = record(tmp_path, command, **FULL)
    assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, plain.returncode)
    assert plain.stdout
    path = one(tmp_path)
    data = healthy(path)
    assert data["cpu"]["samples"] > 20
    if hot:
        assert share(path, hot) > least
    else:
        # node: SHA-512 in its own copy of OpenSSL; assembler whose name depends on the processor.
        leaves = {}
        for stack in report(path, "cpu")["stacks"]:
            leaves[stack["frames"][0]] = leaves.get(stack["frames"][0], 0) + stack["value"]
        assert "sha512" in max(leaves, key=leaves.get).lower()
    assert any(t["name"] for t in data["threads"])


# ---- servers


def benchmark(port, *arguments):
    return subprocess.run(["redis-benchmark", "-p", str(port), "-q", "--csv", *arguments], capture_output=True, text=True,
                          timeout=120, check=True).stdout


def test_redis_with_its_save_child(tmp_path):
    """jemalloc, an event loop, background threads, fork for a save."""
    need("redis-server", "redis-benchmark", "redis-cli")
    port = free_port()

    def cli(*arguments):
        return subprocess.run(["redis-cli", "-p", str(port), *arguments], capture_output=True, text=True, timeout=20).stdout.strip()

    with Running(tmp_path, ["redis-server", "--port", port, "--save", "", "--dir", tmp_path], **FULL) as server:
        wait_until(lambda: port_open(port), what="redis")
        benchmark(port, "-n", "200000", "-P", "16", "-r", "50000", "-d", "100", "-t", "set,get,lpush")
        used = int(next(line for line in cli("info", "memory").splitlines() if line.startswith("used_memory:")).split(":")[1])
        assert cli("set", "answer", "42") == "OK" and cli("get", "answer") == "42"
        assert cli("bgsave") == "Background saving started"
        wait_until(lambda: "rdb_bgsave_in_progress:0" in cli("info", "persistence"), what="the save")
        cli("shutdown", "nosave")
        assert server.process.wait(20) == 0
    files = snapshots(tmp_path)
    assert len(files) == 2
    child, parent = sorted(files, key=lambda f: info(f)["cpu"]["samples"])
    assert info(parent)["pid"] == server.process.pid
    healthy(parent)
    assert share(parent, "aeMain") > 0.8
    assert share(parent, "processCommand") > 0.2
    assert share(child, "rdbSaveBackground") > 0.5
    # What redis itself says it uses is the sum of usable sizes: ours is what it asked for.
    live = info(child)["heap"]["live_bytes"]
    assert 0.8 * used < live <= used


NGINX = """
daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from nginx\\n"; }}
    location /rewrite {{ rewrite ^/rewrite/(.*)$ /$1 break; return 404; }} }} }}
"""


def test_nginx_master_and_workers(tmp_path):
    need("nginx", "wrk")
    port = free_port()
    usable_by_all(tmp_path)  # the workers give up root
    (tmp_path / "nginx.conf").write_text(NGINX.format(dir=tmp_path, port=port))
    with Running(tmp_path, ["nginx", "-c", tmp_path / "nginx.conf"], **FULL) as server:
        wait_until(lambda: port_open(port), what="nginx")
        out = subprocess.run(["wrk", "-t1", "-c16", "-d2s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True,
                             timeout=60, check=True).stdout
        assert "Non-2xx" not in out and "Socket errors" not in out
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read() == b"hello from nginx\n"
        assert server.stop(signal.SIGQUIT) == 0
    files = {info(f)["pid"]: f for f in snapshots(tmp_path)}
    assert len(files) == 3, server.output()
    master = files.pop(server.process.pid)
    healthy(master)
    samples = 0
    for worker in files.values():
        data = healthy(worker)
        samples += data["cpu"]["samples"]
        if data["cpu"]["samples"] > 100:
            assert share(worker, "ngx_process_events_and_timers") > 0.9
            assert share(worker, "ngx_http_core_run_phases") > 0.2
            assert share(worker, "main") > 0.95, "stacks reach main()"
    assert samples > 200


def test_memcached_threads(tmp_path):
    need("memcached")
    port = free_port()
    with Running(tmp_path, ["memcached", "-u", "root" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name, "-p", port,
                            "-U", "0", "-t", "4"], **FULL) as server:
        wait_until(lambda: port_open(port), what="memcached")
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        end = time.monotonic() + 2
        rounds = 0
        while time.monotonic() < end:
            for c in connections:
                c.sendall(b"".join(b"set k%d 0 0 5\r\nhello\r\n" % i for i in range(100)))
            for c in connections:
                got = b""
                while got.count(b"\r\n") < 100:
                    got += c.recv(65536)
                assert got == b"STORED\r\n" * 100
            rounds += 1
        connections[0].sendall(b"get k7\r\n")
        assert connections[0].recv(100) == b"VALUE k7 0 5\r\nhello\r\nEND\r\n"
        for c in connections:
            c.close()
        assert rounds > 3
        assert server.stop() == 0
    path = one(tmp_path)
    healthy(path)
    assert share(path, "event_base_loop") > 0.8
    busy = {s["thread"] for s in report(path, "cpu")["stacks"] if "event_base_loop" in s["frames"]}
    assert len(busy) >= 3, "its worker threads are told apart"


def test_postgres_forks_a_backend_for_each_connection(tmp_path):
    bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert bins, "not installed: postgresql (scripts/setup test)"
    bin_dir = bins[-1]
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    usable_by_all(tmp_path)
    data, port = tmp_path / "data", free_port()

    def run(*command):
        return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, timeout=120,
                              cwd=tmp_path, **who).stdout

    run(f"{bin_dir}/initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres")
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    usable_by_all(profiles)
    server = [f"{bin_dir}/postgres", "-D", data, "-p", port, "-k", tmp_path, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with Running(profiles, server, user=user, cwd=tmp_path, **FULL) as running:
        ready = [f"{bin_dir}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 20, "postgres")
        bench = [f"{bin_dir}/pgbench", "-h", "127.0.0.1", "-p", port, "-U", "postgres"]
        run(*bench, "-i", "-q", "-s", 1, "postgres")
        out = run(*bench, "-c", 3, "-T", 2, "-S", "postgres")
        assert "number of failed transactions: 0" in out
        sql = "select count(*), sum(aid) from pgbench_accounts"
        assert run(f"{bin_dir}/psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-Atc", sql).strip() == "100000|5000050000"
        assert running.stop(signal.SIGINT) == 0
    files = snapshots(profiles)
    backends = [f for f in files if share(f, "PostgresMain") > 0.8]
    assert len(backends) >= 4, [f.name for f in files]
    busiest = max(backends, key=lambda f: info(f)["cpu"]["samples"])
    healthy(busiest)
    assert info(busiest)["cpu"]["samples"] > 100
    assert share(busiest, "PortalRun") > 0.05 and share(busiest, "secure_read") + share(busiest, "secure_write") > 0.1
    assert share(busiest, "PostmasterMain") > 0.95
    postmaster = [f for f in files if info(f)["pid"] == running.process.pid]
    assert len(postmaster) == 1

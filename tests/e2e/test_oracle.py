"""The unwinder against an oracle: real programs run under tests/oracle/oracle.c, which takes each stack twice, with our walk and
with libunwind's, and compares them frame for frame; in allocations, and from a signal at single instructions. Every
difference must be in ACCEPTED, with the reason why libunwind is wrong there, and at least 999 of 1000 stacks are equal.

libunwind without its cache is slow (up to a millisecond a stack), so that a run takes some thousand samples."""

import contextlib
import glob
import json
import os
import pwd
import random
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest

from recording import BUILD, VICTIMS, free_port, port_open, usable_by_all, wait_until

pytestmark = pytest.mark.untimed

ORACLE = BUILD / "tests" / "liboracle.so"
TOTAL = {"samples": 0, "equal": 0}

# Differences that are libunwind's: module of the last common frame, what we and what libunwind took for its caller, reason.
ACCEPTED = [
    ("libc.so.6", "end", "anonymous", "padding before memmove, run through by __memmove_chk, has no table: libunwind follows rbp, "
     "whatever is in it, and gives bytes of data as a frame; we end the stack as truncated"),
]


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    assert not missing, f"not installed: {missing} (scripts/setup test)"
    assert ORACLE.exists(), f"{ORACLE} is not built (x86-64 only)"


def environment(directory, mode, every):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PERFPROBE_")}
    return {**env, "LD_PRELOAD": str(ORACLE), "ORACLE_MODE": mode, "ORACLE_EVERY": str(every), "ORACLE_STEPS": "40",
            "ORACLE_OUT": f"{directory}/oracle", "PYTHONMALLOC": "malloc"}


def accepted(difference):
    places = (difference["last"][0], difference["ours"][0], difference["theirs"][0])
    return any(places == row[:3] for row in ACCEPTED)


def judge(directory, mode, least):
    """Adds up what the processes of a run found, and asserts on it."""
    results = [json.loads(f.read_text()) for f in directory.glob("oracle.*.json")]
    assert results, "no process came to its end"
    total = {k: sum(r[k] for r in results) for k in results[0] if k != "differences"}
    differences = [d for r in results for d in r["differences"]]
    print(mode, total, *differences[:20], sep="\n  ")
    unexplained = [d for d in differences if not accepted(d)]
    assert unexplained == [] and total["forgotten"] == 0
    assert total["samples"] >= least, total
    known = sum(d["count"] for d in differences if accepted(d))
    assert known <= total["samples"] * 0.01 and total["equal"] + known >= total["samples"] * 0.999, total
    assert total["skipped"] <= total["samples"] * 0.2, total
    if mode == "hooks":
        assert total["reuse_equal"] > 0 and total["reuse_different"] == 0, total
    for k in TOTAL:
        TOTAL[k] += total[k]
    return total


# ---- programs that run to their end

PYTHON = """
import json, re, threading
def work(n):
    assert json.loads(json.dumps([{'i': i, 's': str(i), 'f': i / 7} for i in range(n)]))
    def down(k): return re.sub('a+', 'b', 'aab' * k) if k == 0 else down(k - 1)
    [down(40) for _ in range(n // 50)]
threads = [threading.Thread(target=work, args=(6000 + i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
SQL = ("create table t(a integer primary key, b text); with recursive c(x) as (select 1 union all select x + 1 from c where "
       "x < 60000) insert into t select x, printf('%08d', x * 7919 % 60000) from c; select count(*), max(b) from t; "
       "create index i on t(b); select a from t order by b limit 3;")
NODE = """
const c = require('crypto'), z = require('zlib');
console.log(c.pbkdf2Sync('a', 'b', 30000, 64, 'sha512').toString('hex'));
const text = JSON.stringify([...Array(20000).keys()].map(i => ({i, s: 'x' + i})));
console.log(z.gunzipSync(z.gzipSync(text)).length, JSON.parse(text).sort((a, b) => (a.s < b.s ? 1 : -1)).length);
"""
RUN_TO_END = {
    # name: (command, every Nth allocation, least samples in hooks, least in signals)
    "python3": (["/usr/bin/python3", "-c", PYTHON], 50, 1000, 300),
    "jq": (["jq", "[.[] | .v + .nested.a] | add", "{json}"], 100, 1000, 200),
    "xmllint": (["xmllint", "--format", "{xml}"], 50, 500, 50),
    "sqlite3": (["sqlite3", ":memory:", SQL], 5, 100, 50),
    "node": (["node", "-e", NODE], 50, 1000, 200),
    "openssl-gcm": (["openssl", "speed", "-seconds", "1", "-bytes", "16384", "-evp", "aes-128-gcm"], 1, 1000, 300),
    "openssl-chacha": (["openssl", "speed", "-seconds", "1", "-bytes", "1024", "-evp", "chacha20-poly1305"], 1, 1000, 300),
    "openssl-sha": (["openssl", "speed", "-seconds", "1", "-bytes", "1024", "-evp", "sha512"], 100, 300, 300),
    "openssl-rsa": (["openssl", "speed", "-seconds", "1", "rsa2048"], 10, 300, 300),
    "openssl-ecdsa": (["openssl", "speed", "-seconds", "1", "ecdsap256"], 100, 300, 300),
    "C++": ([VICTIMS / "victim_virtuals", "60000"], 50, 1000, 100),
    "Rust": ([VICTIMS / "victim_rust_threads", "3000"], 200, 1000, 50),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("inputs")
    rng = random.Random(7)
    rows = [{"id": i, "tags": [rng.choice("abcdef") * 5 for _ in range(4)], "v": rng.random(), "nested": {"a": i}}
            for i in range(20000)]
    (directory / "big.json").write_text(json.dumps(rows))
    rows = "".join(f'<row id="{i}"><name>user{i}</name><v unit="s">{rng.random()}</v></row>' for i in range(20000))
    (directory / "big.xml").write_text(f"<rows>{rows}</rows>")
    return {"json": directory / "big.json", "xml": directory / "big.xml"}


@pytest.mark.parametrize("mode", ["hooks", "signal"])
@pytest.mark.parametrize("name", RUN_TO_END)
def test_program(tmp_path, inputs, name, mode):
    command, every, in_hooks, in_signals = RUN_TO_END[name]
    if name == "Rust" and not (VICTIMS / "victim_rust_threads").exists():
        pytest.skip("rustc was not installed when the tree was configured (scripts/setup test)")
    need(str(command[0]))
    command = [str(c) if "{" not in str(c) or len(str(c)) > 10 else str(c).format(**inputs) for c in command]
    done = subprocess.run(command, env=environment(tmp_path, mode, every), timeout=100, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    judge(tmp_path, mode, in_hooks if mode == "hooks" else in_signals)


# ---- servers


@contextlib.contextmanager
def serving(directory, mode, every, command, user=None, how=signal.SIGTERM):
    identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with open(directory / "output.log", "w+") as log:
        process = subprocess.Popen([str(c) for c in command], env=environment(directory, mode, every), cwd=directory,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **identity)
        try:
            yield process
            process.send_signal(how)
            process.wait(20)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)


MODES = pytest.mark.parametrize("mode", ["hooks", "signal"])


@MODES
def test_redis(tmp_path, mode):
    need("redis-server", "redis-benchmark")
    port = free_port()
    with serving(tmp_path, mode, 200, ["redis-server", "--port", port, "--save", "", "--dir", tmp_path]):
        wait_until(lambda: port_open(port), what="redis")
        subprocess.run(["redis-benchmark", "-p", str(port), "-q", "-n", "40000", "-P", "16", "-r", "5000", "-d", "100", "-t",
                        "set,get,lpush,zadd"], check=True, timeout=60, capture_output=True)
    judge(tmp_path, mode, 200)


NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; gzip on; gzip_min_length 1; gzip_types text/plain;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from nginx\\n"; }}
    location /rewrite {{ rewrite ^/rewrite/(.*)$ /$1 break; return 404; }} }} }}
"""


@MODES
def test_nginx(tmp_path, mode):
    need("nginx")
    port = free_port()
    usable_by_all(tmp_path)  # the workers give up root
    (tmp_path / "nginx.conf").write_text(NGINX.format(dir=tmp_path, port=port))
    with serving(tmp_path, mode, 1, ["nginx", "-c", tmp_path / "nginx.conf"], how=signal.SIGQUIT):
        wait_until(lambda: port_open(port), what="nginx")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/rewrite/a", headers={"Accept-Encoding": "gzip"})
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(asked, timeout=10).read()
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read() == b"hello from nginx\n"
    judge(tmp_path, mode, 50)


@MODES
def test_postgres(tmp_path, mode):
    bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert bins, "not installed: postgresql (scripts/setup test)"
    need(f"{bins[-1]}/postgres")
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    usable_by_all(tmp_path)
    data, port = tmp_path / "data", free_port()

    def run(program, *arguments):
        subprocess.run([f"{bins[-1]}/{program}", *map(str, arguments)], check=True, capture_output=True, timeout=100,
                       cwd=tmp_path, **who)

    run("initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres")
    server = [f"{bins[-1]}/postgres", "-D", data, "-p", port, "-k", tmp_path, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with serving(tmp_path, mode, 20, server, user=user, how=signal.SIGINT):
        ready = [f"{bins[-1]}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 20, "postgres")
        bench = ["-h", "127.0.0.1", "-p", port, "-U", "postgres"]
        run("pgbench", *bench, "-i", "-q", "-s", 1, "postgres")
        run("pgbench", *bench, "-c", 2, "-T", 2, "postgres")
    judge(tmp_path, mode, 300)


def test_in_all():
    """Runs last: enough was compared, and as much was equal as is claimed."""
    if TOTAL["samples"] == 0:
        pytest.skip("run together with the tests above")
    print(TOTAL)
    assert TOTAL["equal"] >= TOTAL["samples"] * 0.999

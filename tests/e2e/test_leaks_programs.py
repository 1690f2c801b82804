"""The leak check on unmodified Debian programs under load: asked twice from outside, and once more as each of their processes ends.
Nothing may be told as leaked but what is known and explained (docs/leaks-in-programs.md); what is known must be found.

LEAKS_SECONDS: how long each is under load (5)."""
import contextlib
import glob
import json
import os
import pwd
import random
import re
import signal
import subprocess
import threading
import time
from typing import NamedTuple, Optional

import pytest

from leaks_judge import ask, has_leaks_section
from recording import BUILD, Running, analyze, environment, free_port, need, port_open, snapshots, usable_by_all, wait_until

SECONDS = float(os.environ.get("LEAKS_SECONDS", 5))
OPTIONS = {"heap": "full", "cpu": 99, "live": "off", "leaks": "exit"}


class Known(NamedTuple):
    """A leak that is there: functions in this order on its stack, the first one innermost."""
    functions: tuple
    most: Optional[int]  # blocks of it in a process; None: as many as there are
    always: bool  # the process itself has it; a child's stack may still hold what the parent forgot
    child: bool  # only forked children may
    why: str


DISMISSED = ("after it has written a hash, the child that saves gives the whole pages of its table back (MADV_DONTNEED in dismissHashObject), "
             "so that they need not be copied, and ends by _exit: the entries' only pointers are gone")
KNOWN = {
    "redis": [Known(("zmalloc", "dictAddRaw", "hashTypeSet"), None, False, True, DISMISSED),
              Known(("zmalloc_usable", "_sdsnewlen", "hashTypeSet"), None, False, True, DISMISSED)],
    "nginx": [Known(("ngx_alloc", "pcre2_compile_context_create_8", "ngx_regex_compile", "ngx_conf_parse"), 2, True, False,
                    "the context in which regular expressions are compiled is made for each configuration that is read, and its only "
                    "pointer is set to NULL when that is done")],
    "postgres": [Known(("save_ps_display_args", "main"), 1, True, False,
                       "main copies the environment, to write its title over the old one; setenv then copies the array once more"),
                 Known(("strdup", "save_ps_display_args", "main"), 1, False, False,
                       "its string LC_ALL, where that is set: main unsets the variable, and only the array that is lost points to it"),
                 Known(("strdup", "PostmasterMain", "main"), 1, True, False,
                       "the option -D is copied into a local variable, which is used once and then forgotten")],
    "python": [], "python_malloc": [], "jq": [], "sqlite3": [],
}


def children(pid):
    found = []
    for tasks in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(tasks) as f:
            found += map(int, f.read().split())
    return found


def matches(known, frames):
    rest = iter(frames)
    return frames[:1] == list(known.functions[:1]) and all(f in rest for f in known.functions)


def judge(directory, name, pid, least, asked=2):
    """Every check that any of its processes made. `least`: blocks, of the process's checks on demand."""
    demanded = 0
    for path in snapshots(directory):
        _, process, _, reason, _ = path.name.rsplit(".", 4)
        assert has_leaks_section(path), f"{path.name} was written without a check"
        found = json.loads(analyze("leaks", "--json", path).stdout)
        check = found["check"]
        assert check["done"] and check["note"] == "" and check["checks"] == 2 and check["threads_missed"] == 0, (path.name, check)
        if reason == "leaks":
            assert check["method"] == "ptrace" and check["blocks"] > (least if int(process) == pid else 1000), check
            demanded += int(process) == pid
        counts = [0] * len(KNOWN[name])
        for row in found["leaks"]:
            which = [i for i, k in enumerate(KNOWN[name]) if matches(k, row["frames"]) and not (k.child and int(process) == pid)]
            assert which, f"{path.name}: {row['blocks']} blocks, {row['bytes']} bytes ({row['kind']}) by {' < '.join(row['frames'][:8])}"
            counts[which[0]] += row["blocks"]
        for known, blocks in zip(KNOWN[name], counts):
            assert known.most is None or blocks <= known.most, (path.name, known, blocks)
            assert blocks or not known.always or int(process) != pid, f"{path.name}: not found: {known.functions}"
    assert demanded == asked
    assert [p for p in snapshots(directory, f"*.{pid}.*.exit.snap")], "the process's last profile"


def asked_under_load(load, *pids):
    """`load` is called in a thread until the time is over; twice meanwhile each of the processes is asked."""
    end = time.monotonic() + SECONDS
    failures = []

    def work():
        try:
            while time.monotonic() < end:
                load()
        except Exception as e:
            failures.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(2):
        time.sleep(SECONDS / 3)
        for pid in pids:
            ask(pid() if callable(pid) else pid)
    thread.join()
    assert not failures, failures


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=SECONDS + 60, check=True, **options).stdout


def test_redis(tmp_path):
    """jemalloc, threads of its own, Lua; children that write the data and the log."""
    need("redis-server", "redis-benchmark", "redis-cli")
    port = free_port()

    def cli(*arguments):
        return run("redis-cli", "-p", port, *arguments)

    def load():
        run("redis-benchmark", "-p", port, "-q", "-n", 20000, "-P", 16, "-r", 20000, "-d", 100, "-t",
            "set,get,incr,lpush,rpush,lpop,sadd,hset,spop,lrange_100,mset")
        cli("eval", "for i = 1, 1000 do redis.call('xadd', 's', '*', 'f', string.rep('x', i % 100)) end return 1", 0)
        cli("bgsave")
        cli("config", "set", "maxmemory", "100mb")
        cli("function", "load", "replace", "#!lua name=m\nredis.register_function('f', function(k, a) return 1 end)")
        cli("acl", "setuser", "bob", "on", ">p", "~*", "+@all")
        cli("acl", "deluser", "bob")
        wait_until(lambda: "rdb_bgsave_in_progress:0" in cli("info", "persistence"), 20, "the save")
        cli("bgrewriteaof")
        cli("client", "list")
        wait_until(lambda: "aof_rewrite_in_progress:0" in cli("info", "persistence"), 20, "the log to be written anew")
        cli("flushall", "async")

    with Running(tmp_path, ["redis-server", "--port", port, "--save", "", "--dir", tmp_path, "--appendonly", "yes"], **OPTIONS) as server:
        wait_until(lambda: port_open(port), what="redis")
        asked_under_load(load, server.process.pid)
        load()
        run("redis-benchmark", "-p", port, "-q", "-n", 1000, "-r", 1000, "-t", "set")
        cli("shutdown", "nosave")
        assert server.process.wait(20) == 0
    assert len(snapshots(tmp_path, "*.exit.snap")) >= 3, "children are checked as they end"
    judge(tmp_path, "redis", server.process.pid, 3000)


NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{ access_log {dir}/access.log; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; gzip on; gzip_min_length 1; gzip_types text/plain;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from nginx\\n"; }}
    location /files/ {{ alias {dir}/files/; autoindex on; }}
    location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; }}
    location /rewrite {{ rewrite ^/rewrite/(.*)$ /$1 break; return 404; }} }} }}
"""


def test_nginx(tmp_path):
    """Pools; a master and its worker, which is replaced in the middle by one with the configuration read anew."""
    need("nginx", "wrk")
    port = free_port()
    usable_by_all(tmp_path)  # the workers give up root
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("abc\n" * 20000)
    (tmp_path / "nginx.conf").write_text(NGINX.format(dir=tmp_path, port=port))
    places = ["", "files/a.txt", "files/", "proxy/files/a.txt", "rewrite/x"]

    def load():
        places.append(places.pop(0))
        run("wrk", "-t1", "-c8", "-d1s", "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{port}/{places[0]}")

    with Running(tmp_path, ["nginx", "-c", tmp_path / "nginx.conf"], **OPTIONS) as server:
        wait_until(lambda: port_open(port), what="nginx")
        load()
        first = children(server.process.pid)
        asked_under_load(load, server.process.pid, lambda: children(server.process.pid)[-1])
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(children(server.process.pid)) == 1 and children(server.process.pid) != first, 20, "the new worker")
        load()
        ask(server.process.pid)
        ask(children(server.process.pid)[0])
        assert server.stop(signal.SIGQUIT) == 0
    judge(tmp_path, "nginx", server.process.pid, 1500, asked=3)


CHURN = r"""
import asyncio, collections, ctypes, datetime, decimal, hashlib, json, pickle, random, re, sqlite3, sys, threading, time, zlib
end = time.monotonic() + float(sys.argv[1])
class Slots:
    __slots__ = ("other",)
class Plain:
    pass
async def nap():
    await asyncio.sleep(0)
def churn(n):
    rng, keep = random.Random(n), collections.deque(maxlen=50)
    while time.monotonic() < end:
        d = {str(i): [i, str(i), {"x": i}] for i in range(rng.randrange(500))}
        keep.append(json.loads(json.dumps(d)))
        a, b, c = Slots(), Slots(), Plain()
        a.other, b.other, c.d, c.c = b, a, d, c
        re.sub(r"(\d+)", lambda m: m[1] * 2, json.dumps(d))
        hashlib.sha256(zlib.decompress(zlib.compress(pickle.dumps(d)))).hexdigest()
        db = sqlite3.connect(":memory:")
        db.execute("create table t(a, b)")
        db.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(200)])
        db.execute("select * from t order by b").fetchall()
        if rng.random() < 0.5:
            db.close()
        decimal.Decimal(2) ** 100 / 3, datetime.datetime.now().strftime("%c"), (ctypes.c_char * 1000)()
        exec(compile("def f(x):\n return [y for y in range(x)]\nf(10)", "<made>", "exec"), {})
        t = threading.Thread(target=lambda: bytearray(100000))
        t.start()
        t.join()
        asyncio.run(nap())
threads = [threading.Thread(target=churn, args=(i,)) for i in range(3)]
print("begun", flush=True)
[t.start() for t in threads]
[t.join() for t in threads]
"""


@pytest.mark.parametrize("allocator,least", [("python", 3000), ("python_malloc", 30000)])
def test_python_churns(tmp_path, monkeypatch, allocator, least):
    """Objects in arenas that Python maps, or each a block of malloc; cycles, threads, an event loop, libraries in C."""
    need("/usr/bin/python3")
    (tmp_path / "churn.py").write_text(CHURN)
    if allocator == "python_malloc":
        monkeypatch.setenv("PYTHONMALLOC", "malloc")
    with Running(tmp_path, ["/usr/bin/python3", tmp_path / "churn.py", SECONDS + 3], **OPTIONS) as running:
        wait_until(lambda: "begun" in running.output(), 20, "the program")
        asked_under_load(lambda: time.sleep(0.1), running.process.pid)
        assert running.process.wait(60) == 0, running.output()
    judge(tmp_path, allocator, running.process.pid, least)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_python_http_server(tmp_path, how):
    """A thread for each connection. Ended by an exception, with all that Python does at its end, or by the signal itself."""
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("x" * 5000)
    with Running(tmp_path, ["/usr/bin/python3", "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", tmp_path / "www"],
                 **OPTIONS) as server:
        wait_until(lambda: port_open(port), 20, "the server")
        asked_under_load(lambda: run(BUILD / "bin" / "probe-load", f"http://127.0.0.1:{port}/", "-c", 4, "-t", 1, "-d", "1s"),
                         server.process.pid)
        assert server.stop(how) == (0 if how == signal.SIGINT else -how)
    judge(tmp_path, "python", server.process.pid, 2000)


def fed(directory, name, command, lines, least, status):
    """A program that reads its input until the time is over, and ends by itself then."""
    with open(directory / "out", "w") as out:
        process = subprocess.Popen([str(c) for c in command], env=environment(directory, **OPTIONS), stdin=subprocess.PIPE, stdout=out,
                                   stderr=subprocess.STDOUT, text=True)
        try:
            asked_under_load(lambda: process.stdin.write(next(lines)), process.pid)
            process.stdin.close()
            assert process.wait(60) == status, (directory / "out").read_text()[-2000:]
        finally:
            process.kill()
            process.wait()
    assert os.path.getsize(directory / "out") > 1000
    judge(directory, name, process.pid, least)


FILTER = """[.[] | .v * 2 | floor] as $x | (map(select(.v > 0.5) | .name | select(test("^n[0-9]+5$")))) as $y
| (group_by(.name) | map({k: .[0].name, n: length})) as $z | (try error("x") catch .) as $e | [limit(3; .[] | to_entries)] as $t
| {x: ($x | add), y: ($y | sort | @csv), z: ($z | length), u: (map(.tags | join(",")) | unique | length), p: ([paths] | length), $e,
   d: (now | todate), g: ("a,b" | gsub(","; "-")), $t} | tostring | fromjson | .x as $n | reduce range(10) as $i ($n; . + $i)"""


def test_jq(tmp_path):
    need("jq")
    rng = random.Random(1)

    def lines():
        while True:
            yield json.dumps([{"id": i, "name": f"n{rng.randrange(1000)}", "tags": ["a", str(i)], "v": rng.random(), "s": "\u00e9\\n"}
                              for i in range(200)]) + "\n"

    (tmp_path / "names.json").write_text(json.dumps([f"name {i}" for i in range(5000)]))  # there all the while, a block each
    fed(tmp_path, "jq", ["jq", "-c", "--slurpfile", "names", tmp_path / "names.json", "$names[0][7] as $n | " + FILTER], lines(), 5000, 0)


def test_sqlite3(tmp_path):
    """A file in WAL mode, full text, an R-tree, JSON, sorting, errors; a table in memory."""
    need("sqlite3")
    rng = random.Random(1)

    def lines():
        yield ("pragma journal_mode = wal; create table t(a integer primary key, b text, c real); create index i on t(b);\n"
               "create virtual table ft using fts5(x); create virtual table rt using rtree(id, x0, x1); attach ':memory:' as m;\n"
               "create table m.k as with recursive n(x) as (select 1 union all select x + 1 from n where x < 200000) select x, "
               "printf('%040d', x) from n;\n")
        for n in range(1, 1 << 30):
            yield "begin;" + "".join(f"insert into t(b, c) values('{rng.random()}', {rng.random()});" for _ in range(100)) + "commit;\n"
            yield f"insert into ft values('hello w{n}'); insert into rt values({n}, {n}, {n + 1});\n"
            yield "select count(*) from ft where ft match 'hello';\n.mode json\nselect * from t limit 2;\n.mode list\n.schema\n"
            yield "select b, count(*), json_group_array(c) from t where c > 0.99 group by b order by c limit 3; select no_such;\n"
            yield "delete from t where a % 7 = 0; update t set c = c + 1 where a % 11 = 0; select a from t order by b limit 2;\n"
            if n % 50 == 0:
                yield "vacuum; analyze;\n"

    fed(tmp_path, "sqlite3", ["sqlite3", tmp_path / "db"], lines(), 2000, 1)  # 1: there was an error


def test_postgres(tmp_path):
    """A process for each connection, and a handful for the server, each checked as it ends."""
    bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert bins, "not installed: postgresql (scripts/setup test)"
    bin_dir = bins[-1]
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    usable_by_all(tmp_path)
    data, port, profiles = tmp_path / "data", free_port(), tmp_path / "profiles"
    run(f"{bin_dir}/initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres", cwd=tmp_path, **who)
    profiles.mkdir()
    usable_by_all(profiles)
    server = [f"{bin_dir}/postgres", "-D", data, "-p", port, "-k", tmp_path, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    sql = ("do $$ begin for i in 1..1000 loop begin raise exception 'x'; exception when others then null; end; end loop; end $$;"
           "create temp table x as select * from pgbench_accounts order by random(); prepare p as select $1::int; execute p(3);"
           "select count(*) from pg_class a, pg_class b where a.relname ~ b.relname; select length(jsonb_agg(x)::text) from x;")

    def backend():
        """One that serves pgbench."""
        for pid in children(running.process.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as f:
                if re.search(r"postgres: .*127\.0\.0\.1\(", f.read()):
                    return pid
        raise AssertionError("no backend")

    with Running(profiles, server, user=user, cwd=tmp_path, **OPTIONS) as running:
        ready = [f"{bin_dir}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 20, "postgres")
        bench = [f"{bin_dir}/pgbench", "-h", "127.0.0.1", "-p", port, "-U", "postgres"]
        run(*bench, "-i", "-q", "-s", 1, "postgres", cwd=tmp_path, **who)
        asked_under_load(lambda: run(*bench, "-c", 2, "-T", int(SECONDS) + 4, "postgres", cwd=tmp_path, **who), running.process.pid, backend)
        run(f"{bin_dir}/psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-Atc", sql, cwd=tmp_path, **who)
        assert running.stop(signal.SIGINT) == 0
    assert len({p.name.split(".")[1] for p in snapshots(profiles, "*.exit.snap")}) >= 8, "its processes are checked as they end"
    judge(profiles, "postgres", running.process.pid, 3000)


def test_what_is_known_is_explained():
    """The document names every function by which a program is known to leak, so that table and text stay one."""
    with open(os.path.join(os.path.dirname(__file__), "../../docs/leaks-in-programs.md")) as f:
        text = f.read()
    for known in (k for ks in KNOWN.values() for k in ks):
        assert known.why and all(f"`{f}`" in text for f in known.functions[:2]), known


def test_a_stack_that_is_not_known_is_refused():
    known = KNOWN["postgres"][-1]
    assert matches(known, ["strdup", "PostmasterMain", "main", "_start"])
    for frames in ([], ["strdup"], ["strdup", "main", "PostmasterMain"], ["malloc", "strdup", "PostmasterMain", "main"], ["strdup", "PostgresMain", "main"]):
        assert not matches(known, frames)

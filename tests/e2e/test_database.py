"""Database calls: as many as the program issued, by operation and table, as long as it says, in the request that made them."""

import contextlib
import glob
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import time

import pytest

from recording import (BUILD, Running, VICTIMS, analyze, free_port, identity, info, need, one, record, snapshots, usable_by_all,
                       wait_until)
from test_metrics import fetch as fetch_page, parse, scrape, where

PYTHON = "/usr/bin/python3"  # the one that has Debian's psycopg2


def requests_of(path):
    return json.loads(analyze("requests", "--json", "--top", 10000, path).stdout)


def calls_of(path, system):
    """(operation, table) -> (count, errors)."""
    return {(r["operation"], r["table"]): (r["count"], r["errors"]) for r in requests_of(path)["database"] if r["system"] == system}


def row_of(path, operation, table):
    (row,) = [r for r in requests_of(path)["database"] if (r["operation"], r["table"]) == (operation, table)]
    return row


def lost(path):
    return {name: n for name, n in info(path)["lost"].items() if name.startswith("database.") and n}


def timed(output):
    return {name: float(ms) for name, ms in re.findall(r"^(\w+) ([0-9.]+)$", output, re.M)}


def victim(name):
    path = VICTIMS / f"victim_{name}"
    assert path.exists(), f"not built: {path.name}: its library was missing (scripts/setup test)"
    return path


# ---- sqlite ------------------------------------------------------------------------------------------------------------

SQLITE_CALLS = {
    ("CREATE", "users"): (1, 0), ("CREATE", "log"): (1, 0), ("CREATE", "slow"): (1, 0), ("CREATE", "docs"): (1, 0),
    ("INSERT", "slow"): (1, 0), ("INSERT", "users"): (51, 1), ("INSERT", "log"): (2, 0), ("INSERT", "docs"): (5, 0),
    ("SELECT", "users"): (4 + 2 + 1, 0), ("SELECT", "log"): (3 + 1, 0), ("SELECT", "slow"): (1, 0), ("SELECT", "docs"): (1, 0),
    ("BEGIN", ""): (1, 0), ("COMMIT", ""): (1, 0), ("UPDATE", "users"): (1, 0), ("DELETE", "nowhere"): (1, 1),
}


@pytest.mark.parametrize("heap", ["off", "full"])
def test_sqlite_in_c(tmp_path, heap):
    """Without the statements that sqlite makes for itself: of its schema, of full-text search."""
    plain = subprocess.run([victim("sqlite_calls"), tmp_path / "plain"], check=True, timeout=60, capture_output=True, text=True)
    assert "steps" in plain.stdout
    done = record(tmp_path, [victim("sqlite_calls"), tmp_path / "db"], heap=heap)
    path = one(tmp_path)
    assert calls_of(path, "sqlite") == SQLITE_CALLS
    assert not lost(path)
    assert info(path)["database"] == {"recorded": True, "count": sum(n for n, _ in SQLITE_CALLS.values()), "errors": 2}
    assert re.search(r"database +[\d,.]+ calls, 2 of them failed\n", analyze("info", path).stdout)
    took, row = timed(done.stdout)["steps"], row_of(path, "SELECT", "slow")
    assert took <= row["total_ms"] * 1.01 and row["total_ms"] < took + 100, "the 300 ms between two steps are not the database's"
    assert row["max_ms"] == row["total_ms"] and row["mean_ms"] == row["total_ms"]
    assert abs(row["p50_ms"] / row["max_ms"] - 1) < 0.04


def test_off(tmp_path):
    record(tmp_path, [victim("sqlite_calls"), tmp_path / "db"], database="off")
    found = analyze("requests", "--json", one(tmp_path)).stdout
    assert json.loads(found)["database"] == []


PYTHON_SQLITE = """
import sqlite3, sys, threading
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('CREATE TABLE "my users" (id INTEGER PRIMARY KEY, name TEXT)')
for i in range(100):
    db.execute('INSERT INTO "my users"(name) VALUES (?)', (f"secret{i}",))
for i in range(10):
    assert len(db.execute('SELECT * FROM "my users"').fetchall()) == 100
for i in range(5):
    db.execute('select name from [my users] where id > 3').fetchone()
db.executescript("BEGIN; UPDATE `my users` SET name = 'secret'; COMMIT;")
db.executescript("CREATE TABLE seen(x); INSERT INTO seen VALUES (1), (2), (3)")
db.create_function("inner_count", 0, lambda: db.execute("SELECT count(*) FROM hidden").fetchone()[0])
db.execute("CREATE TABLE hidden (x)")
assert db.execute("SELECT inner_count() + inner_count() FROM seen").fetchall() == [(0,)] * 3
def work(n):
    mine = sqlite3.connect(sys.argv[1], isolation_level=None)
    for i in range(200):
        mine.execute(f"SELECT {n} FROM hidden").fetchall()
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_sqlite_in_python(tmp_path):
    """Opened privately by the interpreter: no look-up in the global scope finds it."""
    record(tmp_path, [PYTHON, "-c", PYTHON_SQLITE, tmp_path / "db"])
    path = one(tmp_path)
    assert calls_of(path, "sqlite") == {
        ("CREATE", "my users"): (1, 0), ("INSERT", "my users"): (100, 0), ("SELECT", "my users"): (15, 0), ("BEGIN", ""): (1, 0),
        ("UPDATE", "my users"): (1, 0), ("COMMIT", ""): (1, 0), ("CREATE", "hidden"): (1, 0), ("SELECT", "hidden"): (806, 0),
        ("CREATE", "seen"): (1, 0), ("INSERT", "seen"): (1, 0), ("SELECT", "seen"): (1, 0)}
    text = analyze("requests", path).stdout
    assert "secret" not in text + analyze("requests", "--json", path).stdout
    assert re.search(r"\b806 .* SELECT hidden \(sqlite\)", text), text


def test_sqlite_command(tmp_path):
    need("sqlite3")
    script = "CREATE TABLE t(x);" + "INSERT INTO t VALUES(1);" * 25 + "SELECT x FROM t;" * 3 + "DELETE FROM t;"
    record(tmp_path, ["sqlite3", tmp_path / "db", script])
    found = calls_of(one(tmp_path), "sqlite")
    assert {k: v for k, v in found.items() if k[1] == "t"} == {
        ("CREATE", "t"): (1, 0), ("INSERT", "t"): (25, 0), ("SELECT", "t"): (3, 0), ("DELETE", "t"): (1, 0)}


def test_many_tables(tmp_path):
    """More than there are rows: the rest is one row, and said."""
    code = ("import sqlite3\ndb = sqlite3.connect(':memory:', isolation_level=None)\n"
            "for i in range(400): db.execute(f'CREATE TABLE t{i}(x)')\n")
    record(tmp_path, [PYTHON, "-c", code])
    path = one(tmp_path)
    found = calls_of(path, "sqlite")
    assert sum(n for n, _ in found.values()) == 400 and found["CREATE", "_OTHER"][0] == lost(path)["database.rows_folded"] >= 400 - 192


def test_forked_children(tmp_path):
    code = ("import os, sqlite3\ndb = sqlite3.connect(':memory:', isolation_level=None)\nfor i in range(7): db.execute('SELECT 1')\n"
            "if os.fork() == 0:\n    for i in range(5): db.execute('SELECT 1')\nelse: os.wait()\n")
    record(tmp_path, [PYTHON, "-c", code])
    assert sorted(calls_of(path, "sqlite")["SELECT", ""][0] for path in snapshots(tmp_path)) == [5, 7]


# ---- no library, or more than one --------------------------------------------------------------------------------------


def test_program_without_a_library(tmp_path):
    """What it is told, and that a call fails as the function does."""
    done = record(tmp_path, [victim("no_database")])
    assert done.stdout.splitlines() == ["1 0 1 1 1 1 1 1 1 1"] * 3
    assert requests_of(one(tmp_path))["database"] == []


def test_calls_that_are_left(tmp_path):
    """A stand-in library whose calls end by longjmp and with their thread: those are not counted, all others are, at any depth; and a
    callback's call is one of its own, while the library's call of itself is none."""
    done = record(tmp_path, [victim("database_jumps")])
    assert done.stdout == "done\n"
    assert {k: n for k, (n, _) in calls_of(one(tmp_path), "mysql").items()} == {
        ("SELECT", "deep"): 10, ("SELECT", "same"): 10, ("UPDATE", "above"): 20, ("UPDATE", "below"): 20}


TWO_COPIES = """
import ctypes, gc, sys
def run(path, table, n):
    lib = ctypes.CDLL(path)
    db, why = ctypes.c_void_p(), ctypes.c_char_p()
    assert lib.sqlite3_open(b":memory:", ctypes.byref(db)) == 0
    sql = f"CREATE TABLE {table}(x);" + f"INSERT INTO {table} VALUES (1);" * n
    assert lib.sqlite3_exec(db, sql.encode(), None, None, ctypes.byref(why)) == 0, why.value
    stmt = ctypes.c_void_p()
    assert lib.sqlite3_prepare_v2(db, f"SELECT x FROM {table}".encode(), -1, ctypes.byref(stmt), None) == 0
    rows = 0
    while lib.sqlite3_step(stmt) == 100: rows += 1
    assert rows == n and lib.sqlite3_finalize(stmt) == 0 and lib.sqlite3_close(db) == 0
    return lib
kept = [run(path, f"t{i}", 50) for i, path in enumerate(sys.argv[1:])]
import sqlite3
db = sqlite3.connect(":memory:", isolation_level=None)
db.execute("CREATE TABLE third(x)")
for i in range(20): db.execute("INSERT INTO third VALUES (2)")
"""


def test_two_copies_of_a_library(tmp_path):
    """Each opened privately, beside the interpreter's: each calls itself, and the interpreter its own. ctypes asks the library's own
    handle, so its calls pass by."""
    original = next(iter(glob.glob("/usr/lib/*/libsqlite3.so.0")))
    copies = []
    for i in range(2):
        (tmp_path / f"copy{i}").mkdir()
        copies.append(tmp_path / f"copy{i}" / "libother.so")
        shutil.copy(original, copies[-1])
    record(tmp_path, [PYTHON, "-c", TWO_COPIES, *copies])
    assert calls_of(one(tmp_path), "sqlite") == {("CREATE", "third"): (1, 0), ("INSERT", "third"): (20, 0)}


# ---- PostgreSQL --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """Port of a server that is not recorded; directory of its programs."""
    bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert bins, "not installed: postgresql (scripts/setup test)"
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    home, port = usable_by_all(tmp_path_factory.mktemp("postgres")), free_port()
    subprocess.run([f"{bins[-1]}/initdb", "-D", home / "data", "-A", "trust", "-N", "-U", "postgres"], check=True, timeout=60,
                   capture_output=True, cwd=home, **identity(user))
    server = subprocess.Popen([f"{bins[-1]}/postgres", "-D", home / "data", "-p", str(port), "-k", home, "-c", "fsync=off",
                               "-c", "listen_addresses=127.0.0.1"], cwd=home, stderr=subprocess.DEVNULL, **identity(user))
    try:
        ready = [f"{bins[-1]}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 30, "postgres")
        yield port, pathlib.Path(bins[-1])
    finally:
        server.terminate()
        server.wait(20)


def conninfo(port):
    return f"host=127.0.0.1 port={port} user=postgres dbname=postgres"


def test_libpq_in_c(tmp_path, postgres):
    done = record(tmp_path, [victim("pq_calls"), conninfo(postgres[0])])
    path = one(tmp_path)
    deep = lost(path).get("database.open_full", 0)  # of a pipeline of 300
    found = calls_of(path, "postgresql")
    deletes = found.pop(("DELETE", "users"))
    assert deletes == (1 + 9 + 300 - deep, 1 + 6) and deep < 300
    assert set(lost(path)) <= {"database.open_full"}
    assert found == {
        ("CREATE", "users"): (1, 0), ("INSERT", "users"): (10, 0), ("PREPARE", "users"): (2, 0), ("SELECT", "users"): (20 + 7, 0),
        ("SELECT", "nowhere"): (1, 1), ("PREPARE", ""): (1, 0), ("EXECUTE", ""): (1, 0), ("SELECT", ""): (2, 1),
        ("VALUES", ""): (1, 0), ("UPDATE", "users"): (3, 0), ("MOVE", ""): (3, 3), ("SHOW", ""): (1, 0), ("SET", ""): (1, 0),
        ("MERGE", "no"): (1, 1), ("LISTEN", ""): (1, 1)}
    took = timed(done.stdout)
    for name, operation, least in (("exec", "SELECT", 250), ("send", "VALUES", 150)):
        longest = row_of(path, operation, "")["max_ms"]
        assert least <= longest <= took[name] * 1.001 < longest + 20, (name, longest, took)


def test_psycopg2(tmp_path, postgres):
    code = """
import psycopg2, sys, time
db = psycopg2.connect(sys.argv[1])
db.autocommit = True
c = db.cursor()
c.execute("CREATE TEMP TABLE users (id int, name text)")
for i in range(30): c.execute("INSERT INTO users VALUES (%s, %s)", (i, "it's secret"))
for i in range(12): c.execute("SELECT u.id FROM pg_temp.users AS u WHERE id = %s", (i,))
try: c.execute("SELECT * FROM nowhere")
except psycopg2.errors.UndefinedTable: pass
db.autocommit = False
c.execute("WITH old AS (DELETE FROM users RETURNING *) SELECT count(*) FROM old")
db.commit()
start = time.monotonic()
c.execute("SELECT pg_sleep(0.2) FROM pg_class LIMIT 1")
print("sleep %.3f" % ((time.monotonic() - start) * 1000))
"""
    done = record(tmp_path, [PYTHON, "-c", code, conninfo(postgres[0])])
    path = one(tmp_path)
    found = calls_of(path, "postgresql")
    assert not lost(path)
    expected = {("CREATE", "users"): (1, 0), ("INSERT", "users"): (30, 0), ("SELECT", "pg_temp.users"): (12, 0),
                ("SELECT", "nowhere"): (1, 1), ("SELECT", "users"): (1, 0), ("COMMIT", ""): (1, 0), ("SELECT", "pg_class"): (1, 0),
                ("BEGIN", ""): (2, 0)}
    assert {k: v for k, v in found.items() if k[0] not in ("SET", "SHOW")} == expected, found
    took, longest = timed(done.stdout)["sleep"], row_of(path, "SELECT", "pg_class")["max_ms"]
    assert 200 <= longest <= took < longest + 20


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(tmp_path, postgres, mode):
    """Sends, polls, and reads results; its own figures by statement are the judge."""
    port, bins = postgres
    bench = [bins / "pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    subprocess.run([str(c) for c in [*bench, "-i", "-q", "-s", 1, "postgres"]], check=True, timeout=60, capture_output=True)
    done = record(tmp_path, [*bench, "-c", 4, "-j", 2, "-t", 100, "-n", "-r", "-M", mode, "postgres"])
    path = one(tmp_path)
    found = calls_of(path, "postgresql")
    assert not lost(path)
    statements = [("UPDATE", "pgbench_accounts"), ("SELECT", "pgbench_accounts"), ("UPDATE", "pgbench_tellers"),
                  ("UPDATE", "pgbench_branches"), ("INSERT", "pgbench_history"), ("BEGIN", ""), ("COMMIT", "")]
    for key in statements:
        extra = 1 if key == ("SELECT", "pgbench_branches") else 0
        assert found[key] == (400 + extra, 0), (key, found)
    if mode == "prepared":
        assert found["PREPARE", "pgbench_accounts"] == (8, 0), found  # two of each of 4 clients
    said = {(operation, table): float(ms) for ms, operation, table in
            re.findall(r"^ +([0-9.]+) +\d+ +([A-Z]+) .*?(pgbench_\w+).*;$", done.stdout, re.M)}
    for operation, table in statements[:5]:
        mine, theirs = row_of(path, operation, table)["mean_ms"], said[operation, table]
        assert mine < theirs * 1.3 + 0.3 and theirs < mine * 1.5 + 1, (operation, table, mine, theirs)


# ---- MariaDB -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    """Socket of a server that is not recorded, and who may do all there."""
    server = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert server, "not installed: mariadb-server (scripts/setup test)"
    user = pwd.getpwnam("mysql").pw_uid if os.getuid() == 0 else None
    home = usable_by_all(tmp_path_factory.mktemp("mariadb"))
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={home}/data", "--auth-root-authentication-method=normal",
                    "--skip-test-db"], check=True, timeout=120, capture_output=True, cwd=home, **identity(user))
    socket = f"/tmp/perfprobe-mariadb-{os.getpid()}.sock"  # a path of a socket may be 107 bytes
    running = subprocess.Popen([server, "--no-defaults", f"--datadir={home}/data", f"--socket={socket}", "--skip-networking",
                                f"--pid-file={home}/pid", "--innodb-flush-log-at-trx-commit=0"], cwd=home, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **identity(user))
    try:
        wait_until(lambda: subprocess.run(["mariadb-admin", "--no-defaults", f"--socket={socket}", "-uroot", "ping"],
                                          capture_output=True).returncode == 0, 60, "mariadb")
        yield socket
    finally:
        running.terminate()
        running.wait(30)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)


def test_mariadb_in_c(tmp_path, mariadb):
    done = record(tmp_path, [victim("mysql_calls"), mariadb, "root"])
    path = one(tmp_path)
    found = calls_of(path, "mysql")
    assert not lost(path)
    assert found == {
        ("CREATE", ""): (1, 0), ("CREATE", "shop.users"): (1, 0), ("INSERT", "shop.users"): (10, 0), ("UPDATE", "shop.users"): (5, 0),
        ("DELETE", "shop.nowhere"): (1, 1), ("SELECT", ""): (1, 0), ("PREPARE", "shop.users"): (1, 0), ("DELETE", "shop.users"): (7, 0),
        ("SELECT", "shop.users"): (3, 0), ("SHOW", ""): (1, 1)}
    took, longest = timed(done.stdout)["query"], row_of(path, "SELECT", "")["max_ms"]
    assert 200 <= longest <= took < longest + 20


# ---- requests ----------------------------------------------------------------------------------------------------------

SERVER = """
import http.server, sqlite3, sys, threading, time
import psycopg2
sqlite = sys.argv[1]
with sqlite3.connect(sqlite) as db:
    db.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)")
    db.executemany("INSERT INTO users(name) VALUES (?)", [(f"secret{i}",) for i in range(100)])
SLOW = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000) "
        "SELECT max(users.id + n.i) FROM users, n WHERE users.id = 1")
local = threading.local()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        took = -time.monotonic()
        if self.path == "/sqlite":
            db = sqlite3.connect(sqlite, isolation_level=None)
            for i in range(3): db.execute("SELECT name FROM users WHERE id = ?", (i,)).fetchall()
            took = -time.monotonic()
            db.execute(SLOW).fetchall()
            db.close()
        elif self.path == "/postgres":
            with psycopg2.connect(sys.argv[2]) as db:
                db.autocommit = True
                c = db.cursor()
                took = -time.monotonic()
                for i in range(2): c.execute("SELECT pg_sleep(0.15) FROM pg_class LIMIT 1")
        took += time.monotonic()
        body = b"%.3f" % (took * 1000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
kind = http.server.ThreadingHTTPServer if sys.argv[3] == "threads" else http.server.HTTPServer
server = kind(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def fetch(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    body = connection.getresponse().read()
    connection.close()
    return float(body)


def port_of(server):
    wait_until(lambda: re.search(r"port (\d+)", server.output()), what="a port")
    return int(re.search(r"port (\d+)", server.output()).group(1))


@pytest.mark.parametrize("how", ["threads", "one"])
def test_calls_of_requests(tmp_path, postgres, how):
    with Running(tmp_path, [PYTHON, "-c", SERVER, tmp_path / "db", conninfo(postgres[0]), how]) as server:
        port = port_of(server)
        slow, slept = fetch(port, "/sqlite"), fetch(port, "/postgres")
        for _ in range(5):
            fetch(port, "/plain")
        time.sleep(0.2)  # the last write is back
        server.stop()
    path = one(tmp_path)
    data = requests_of(path)
    by_path = {r["path"]: r for r in data["slowest"]}
    lite, pg, plain = by_path["/sqlite"], by_path["/postgres"], by_path["/plain"]
    assert plain["database"]["calls"] == 0 and plain["database"]["spans"] == []

    tables = {(t["operation"], t["table"]): t for t in lite["database"]["tables"]}
    assert {k: t["calls"] for k, t in tables.items()} == {("SELECT", "users"): 4} and lite["database"]["calls"] == 4
    assert slow * 0.9 - 5 < lite["database"]["time_ms"] <= min(slow + 5, lite["duration_ms"])
    assert all(s["system"] == "sqlite" and not s["failed"] and not s["unfinished"] for s in lite["database"]["spans"])
    assert all(lite["start_ns"] <= s["start_ns"] <= lite["start_ns"] + lite["duration_ms"] * 1e6 for s in lite["database"]["spans"])

    asleep = [s for s in pg["database"]["spans"] if s["table"] == "pg_class"]
    assert len(asleep) == 2 and 300 <= sum(s["duration_ms"] for s in asleep) <= slept + 1 < 400
    assert pg["database"]["time_ms"] <= pg["duration_ms"]
    assert asleep[0]["tid"] == pg["tid"]

    text = analyze("requests", path).stdout
    assert re.search(r"/sqlite 200.*\n( +of [0-9.]+ m?s about .*\n)? +[0-9.]+ m?s in 4 database calls: SELECT users [0-9.]+ m?s in 4\n", text), text
    assert re.search(r"^ +[0-9.]+ ms in \d+ database calls: SELECT pg_class 3[0-9.]+ ms in 2", text, re.M), text
    whole = analyze("requests", "--full-frames", path).stdout
    assert len(re.findall(r"^ +1[5-9]\d\.\d+ ms  SELECT pg_class, after [0-9.]+ ms$", whole, re.M)) == 2, whole


def test_a_call_under_way(tmp_path, postgres):
    """A profile that is asked for while a request waits for its database says for what."""
    with Running(tmp_path, [PYTHON, "-c", SERVER.replace("pg_sleep(0.15)", "pg_sleep(3)"), tmp_path / "db", conninfo(postgres[0]),
                            "threads"]) as server:
        port = port_of(server)
        client = subprocess.Popen([sys.executable, "-c", "import sys, http.client\nc = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))\n"
                                   "c.request('GET', '/postgres')\nc.getresponse().read()", str(port)])
        try:
            time.sleep(1)
            subprocess.run([BUILD / "bin" / "perfprobe", "snapshot", str(server.process.pid)], check=True, timeout=20, capture_output=True)
        finally:
            client.kill()
            client.wait(10)
        server.stop()
    data = requests_of(one(tmp_path, "*.request.snap"))
    (request,) = [r for r in data["slowest"] if r["path"] == "/postgres"]
    (span,) = [s for s in request["database"]["spans"] if s["unfinished"]]
    assert not request["answered"] and span["table"] == "pg_class" and 300 < span["duration_ms"] < request["duration_ms"]
    assert "of them not done yet" in analyze("requests", one(tmp_path, "*.request.snap")).stdout


# ---- metrics -----------------------------------------------------------------------------------------------------------

CLIENT = """
import sqlite3, sys, time
import psycopg2
spent = {}
def run(name, fn):
    began = time.monotonic()
    try: fn()
    except (sqlite3.Error, psycopg2.Error): pass
    spent[name] = spent.get(name, 0) + time.monotonic() - began
lite = sqlite3.connect(":memory:", isolation_level=None)
lite.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)")
for i in range(40): lite.execute("INSERT INTO users VALUES (?, 'x')", (i,))
for i in range(3): run("failed", lambda: lite.execute("INSERT INTO users VALUES (1, 'again')"))
pg = psycopg2.connect(sys.argv[1])
pg.autocommit = True
c = pg.cursor()
for i in range(5): run("pg", lambda: c.execute("SELECT pg_sleep(0.02) FROM pg_class LIMIT 1"))
for i in range(2): run("pg_failed", lambda: c.execute("SELECT 1 / 0 FROM pg_class"))
print(spent["pg"] + spent["pg_failed"], flush=True)
while True: time.sleep(0.02)
"""


def test_metrics(tmp_path, postgres):
    """What a scrape tells of database calls is what the program did, under both names, and as long as it took."""
    with Running(tmp_path, [PYTHON, "-c", CLIENT, conninfo(postgres[0])], metrics="127.0.0.1:0") as program:
        wait_until(lambda: program.output().endswith("\n"), what="the calls")
        address = where(program.process.pid)
        plain, otel = scrape(address), parse(fetch_page(address, "?names=otel"))
        program.stop()
    calls = {("sqlite", "INSERT", "users"): (43, 3), ("sqlite", "CREATE", "users"): (1, 0), ("postgresql", "SELECT", "pg_class"): (7, 2)}
    for samples, family, names in ((plain, "database_query_duration_seconds", ("system", "operation", "table")),
                                   (otel, "db_client_operation_duration_seconds", ("db_system_name", "db_operation_name", "db_collection_name"))):
        counts = {tuple(dict(k)[n] for n in names): v for k, v in samples[family + "_count"].items()}
        errors = {tuple(dict(k)[n] for n in names): v for k, v in samples["database_query_errors_total"].items()}
        assert {k: (counts[k], errors.get(k, 0)) for k in calls} == calls, (counts, errors)
        sums = {tuple(dict(k)[n] for n in names): v for k, v in samples[family + "_sum"].items()}
        assert 0.1 <= sums["postgresql", "SELECT", "pg_class"] <= float(program.output().split()[-1])

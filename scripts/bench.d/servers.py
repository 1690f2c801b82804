"""Servers under load, for scripts/bench recorder: what a variant leaves of the throughput, and the CPU time of a request."""
import glob
import os
import pwd
import re
import signal
import socket
import subprocess
import time

from measure import VARIANTS, WORK, clean, command, interleaved, table

CPUS = sorted(os.sched_getaffinity(0))
SAMPLED = "at least 99 % of base when sampled"
# Not LSan: two replaced allocators do not mix, and redis brings jemalloc.
NAMES = ["base", "perfprobe full", "perfprobe sampled", "heaptrack", "gperftools CPU, 99 Hz"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pin(cpu):
    """For preexec_fn: a server on the first CPU, its driver on the last."""
    return lambda: os.sched_setaffinity(0, {CPUS[cpu]})


def wait_for(port, process):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        if process.poll() is not None:
            break
    raise ValueError("the server did not start")


class Server:
    """In a session of its own. After the `with` block, cpu_seconds: what it and its children used."""

    def __init__(self, words, variant, port, how=signal.SIGTERM, **options):
        argv, env = command(words, variant)
        self.how, self.cpu_seconds = how, 0
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True, **options)
        try:
            wait_for(port, self.process)
        except ValueError:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, self.how)  # its own session: nobody else's process
        end = time.monotonic() + 20
        pid = 0
        while not pid and time.monotonic() < end:
            pid, _, usage = os.wait4(self.process.pid, os.WNOHANG)
            time.sleep(0.02)
        if not pid:
            os.killpg(self.process.pid, signal.SIGKILL)
            _, _, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0  # taken by wait4
        self.cpu_seconds = usage.ru_utime + usage.ru_stime


def redis_round(variant):
    """Thousand requests a second of SET, GET, LPUSH, as one list."""
    port = free_port()
    with Server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", WORK],
                variant, port, preexec_fn=pin(0)):
        out = subprocess.run(["redis-benchmark", "-p", str(port), "-n", "400000", "-P", "16", "-t", "set,get,lpush", "-r",
                              "100000", "--csv"], check=True, capture_output=True, text=True, timeout=180,
                             preexec_fn=pin(-1)).stdout
    rows = [line.replace('"', "").split(",") for line in out.splitlines()[1:]]
    return [float(row[1]) / 1000 for row in rows if row[0] in ("SET", "GET", "LPUSH")]


def bench_redis():
    results = interleaved(redis_round, NAMES)
    for i, what in enumerate(("SET", "GET", "LPUSH")):
        table(f"redis {what}, pipeline of 16", "1000 requests/s", {n: [r[i] for r in v] for n, v in results.items()},
              "at least 90 % of base in full mode, 99 % sampled", True)


def tables_of_server(what, unit, results):
    table(what, f"1000 {unit}/s", {n: [r[0] / 1000 for r in v] for n, v in results.items()}, SAMPLED, True)
    # heaptrack's own process waits for the server no longer than we let it: what it used is not known
    table(f"{what}: the server's CPU time", f"us a {unit[:-1]}",
          {n: [r[1] for r in v] for n, v in results.items() if not VARIANTS[n].before}, "at most 1.01 times base when sampled")


def bench_nginx():
    port = free_port()
    places = "".join(f"{kind}_temp_path {WORK}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(f"{WORK}/nginx.conf", "w") as f:
        f.write(f"daemon off; master_process off; pid {WORK}/nginx.pid; error_log {WORK}/error.log;"
                f"events {{ worker_connections 256; }} http {{ access_log off; keepalive_requests 1000000000; {places}"
                f"server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }} }}")

    def measure(variant):
        with Server(["nginx", "-p", WORK, "-c", f"{WORK}/nginx.conf", "-e", f"{WORK}/error.log"], variant, port,
                    signal.SIGQUIT, preexec_fn=pin(0)) as server:
            out = subprocess.run(["wrk", "-t1", "-c32", "-d3s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True,
                                 timeout=60, check=True, preexec_fn=pin(-1)).stdout
        count = int(re.search(r"(\d+) requests in", out)[1])
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), server.cpu_seconds / count * 1e6

    tables_of_server("nginx, one worker, return 200", "requests", interleaved(measure, NAMES))


def bench_postgres():
    tools = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not tools:
        return print("\n(postgres: not installed)")
    data, port = f"{WORK}/postgres", free_port()
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    os.chmod(WORK, 0o777)

    def tool(name, *words):
        return subprocess.run([f"{tools[-1]}/{name}", *words], check=True, capture_output=True, text=True, timeout=120,
                              cwd=WORK, **who).stdout

    def measure(variant):
        words = [f"{tools[-1]}/postgres", "-D", data, "-p", port, "-k", WORK, "-c", "listen_addresses=127.0.0.1",
                 "-c", "fsync=off"]
        at = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
        with Server(words, variant, port, signal.SIGINT, cwd=WORK, **who) as server:
            for _ in range(100):
                if subprocess.run([f"{tools[-1]}/pg_isready", *at[:4]], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            if not tables_made:
                tool("pgbench", *at, "-i", "-q", "-s", "2", "postgres")
                tables_made.append(True)
            out = tool("pgbench", *at, "-c", "2", "-T", "3", "-S", "-M", "prepared", "postgres")
        count = int(re.search(r"transactions actually processed: (\d+)", out)[1])
        return float(re.search(r"tps = ([\d.]+)", out)[1]), server.cpu_seconds / count * 1e6

    tables_made = []
    tool("initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres")
    measure(VARIANTS["base"])  # makes the tables; not counted
    clean()
    tables_of_server("postgres, pgbench -S, 2 clients", "transactions", interleaved(measure, NAMES[:3]))

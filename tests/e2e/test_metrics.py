"""PERFPROBE_METRICS: what a scrape tells is what clients and the kernel say, for Prometheus too; and no scraper harms the host."""

import collections
import http.client
import json
import math
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from recording import BUILD, LIBRARY, VICTIMS, Running, analyze, environment, free_port, identity, info, need, port_open, record, usable_by_all, wait_until

PERFPROBE = BUILD / "bin" / "perfprobe"
PYTHON = "/usr/bin/python3"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
NOBODY = pwd.getpwnam("nobody").pw_uid
ROOT = os.getuid() == 0
users = pytest.mark.parametrize("user", [None, NOBODY] if ROOT else [None], ids=lambda u: "nobody" if u else "me")
ANY = "127.0.0.1:0"
OPENMETRICS = "application/openmetrics-text"


# ---- reading


def perfprobe(*words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PERFPROBE_") and k != "LD_PRELOAD"}
    done = subprocess.run([str(PERFPROBE), *map(str, words)], capture_output=True, text=True, timeout=30, env=env, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status_line(pid):
    return re.search(r"^metrics +(.*)$", perfprobe("status", pid), re.M).group(1)


def where(pid):
    """The address that `perfprobe status` tells, once there is one."""
    told = [status_line(pid)]

    def is_told():
        told[0] = status_line(pid)
        return re.match(r"http://|unix:", told[0])

    wait_until(is_told, what="an address")
    return told[0]


def connect(address):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(address[5:])
        return s
    url = urllib.parse.urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=20)


def exchange(address, request):
    """All that is answered until the other side closes; b"" if it resets."""
    with connect(address) as s:
        s.sendall(request)
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def fetch(address, query="", accept=None):
    extra = f"Accept: {accept}\r\n" if accept else ""
    answer = exchange(address, f"GET /metrics{query} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and int(re.search(rb"Content-Length: (\d+)", head).group(1)) == len(body), head
    assert (OPENMETRICS.encode() in head) == bool(accept)
    return body.decode()


SAMPLE = re.compile(r'([a-z][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)')


def parse(text, openmetrics=False):
    """name -> {labels as a sorted tuple: value}, of a page that keeps to the format: every line understood, each family told once and
    before its samples, no sample twice, buckets that add up."""
    samples, types, family = collections.defaultdict(dict), {}, None
    lines = text.split("\n")
    assert lines.pop() == "" and (not openmetrics or lines.pop() == "# EOF")
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in types, line
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family and family not in types, line
            types[family] = line.split()[3]
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels = match.group(1), tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match.group(2) or "")))
            endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",) if openmetrics else ("",), "gauge": ("",)}
            assert name in [family + ending for ending in endings[types[family]]], line
            assert labels not in samples[name], line
            samples[name][labels] = float(match.group(3))
    for family, kind in types.items():
        if kind == "histogram":
            for labels, count in samples[family + "_count"].items():
                buckets = sorted((math.inf if dict(k)["le"] == "+Inf" else float(dict(k)["le"]), v) for k, v in samples[family + "_bucket"].items()
                                 if tuple(x for x in k if x[0] != "le") == labels)
                values = [v for _, v in buckets]
                assert buckets[-1] == (math.inf, count) and values == sorted(values) and len(buckets) in (15, 17)
    return samples


def scrape(address, **kwargs):
    return parse(fetch(address, **kwargs), openmetrics=bool(kwargs.get("accept")))


def one_of(samples, name, **labels):
    return samples[name][tuple(sorted(labels.items()))]


def requests_of(samples):
    """(method, route, status) -> count."""
    return {tuple(dict(k)[n] for n in ("method", "route", "status")): v for k, v in samples["http_requests_total"].items()}


def lost(samples):
    return {dict(k)["cause"]: v for k, v in samples["perfprobe_lost_total"].items() if v}


# ---- hosts


class Server(Running):
    """The sample server under the library."""

    def __init__(self, directory, metrics=ANY, **kwargs):
        super().__init__(directory, [BUILD / "bin" / "sample_server", "--port", "0", "--seconds", "120"], metrics=metrics, **kwargs)

    def __enter__(self):
        wait_until(lambda: "listening on" in self.output(), what="the sample server")
        self.port = int(re.search(r"127.0.0.1:(\d+)", self.output()).group(1))
        return self

    @property
    def pid(self):
        return self.process.pid


class Python(Running):
    """A Python program under the library that has printed a line."""

    def __init__(self, directory, program, metrics=ANY, **kwargs):
        super().__init__(directory, [PYTHON, "-c", program], metrics=metrics, **kwargs)

    def __enter__(self):
        wait_until(lambda: "\n" in self.output(), what="the program's first line")
        return self

    @property
    def pid(self):
        return self.process.pid


IDLE = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.02); sum(range(2000))"


def load(port, path, count, answered, method="GET"):
    """Keep-alive requests; adds each answer's (method, status) to `answered` by path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(count):
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        answered[method, path, str(response.status)] += 1
    connection.sock.shutdown(socket.SHUT_WR)
    while connection.sock.recv(65536):  # until the server has closed it: then its writes are back
        pass
    connection.close()


# ---- numbers


@users
def test_counts_are_the_clients(tmp_path, user):
    """To the request, by method, route and status; every page on the way is well formed, and no counter falls."""
    usable_by_all(tmp_path)
    with Server(tmp_path, user=user) as server:
        address = where(server.pid)
        answered, lock = collections.Counter(), threading.Lock()

        def client(number):
            mine = collections.Counter()
            load(server.port, "/", 300, mine)
            load(server.port, f"/bytes?n={number}", 100, mine)
            load(server.port, "/status?code=404", 40, mine)
            load(server.port, "/cpu?ms=2", 10, mine, "POST")
            with lock:
                answered.update({(m, p.split("?")[0], s): n for (m, p, s), n in mine.items()})

        threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        before, pages = collections.Counter(), 0
        while any(t.is_alive() for t in threads):
            now = requests_of(scrape(address, accept=OPENMETRICS if pages % 2 else None))
            assert all(now.get(k, 0) >= v for k, v in before.items()), "counters never fall"
            before, pages = now, pages + 1
        for t in threads:
            t.join()
        want = {(m, p, s): n for (m, p, s), n in answered.items()}
        assert sum(want.values()) == 6 * 450 and pages > 3
        after = scrape(address)
        assert requests_of(after) == want
        assert {tuple(dict(k)[n] for n in ("method", "route", "status")): v for k, v in after["http_request_duration_seconds_count"].items()} == want
        burned = dict(method="POST", route="/cpu", status="200")
        assert one_of(after, "http_request_duration_seconds_bucket", le="0.001", **burned) == 0, "none takes less than its 2 ms"
        assert one_of(after, "http_request_duration_seconds_sum", **burned) >= 60 * 0.002
        assert one_of(after, "active_connections") == 0 and one_of(after, "http_requests_unanswered_total") == 0
        otel = scrape(address, query="?names=otel")
        assert {tuple(dict(k)[n] for n in ("http_request_method", "http_route", "http_response_status_code")): v
                for k, v in otel["http_server_request_duration_seconds_count"].items()} == want
        assert lost(after) == {} and one_of(after, "perfprobe_scrapes_total") == pages + 1


def test_active_connections(tmp_path):
    with Server(tmp_path) as server:
        address = where(server.pid)
        held = []
        for n in range(1, 8):
            s = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
            held.append(s)
            assert one_of(scrape(address), "active_connections") == n, "a scrape is none of them"
        for s in held:
            s.close()
        wait_until(lambda: one_of(scrape(address), "active_connections") == 0, what="no connection")


def test_the_process_is_as_the_kernel_says(tmp_path):
    with Python(tmp_path, "import os\nheld = [os.open('/dev/null', 0) for _ in range(50)]\nb = bytearray(b'x' * (50 << 20))\n" + IDLE) as p:
        address = where(p.pid)
        page, proc = scrape(address), pathlib.Path(f"/proc/{p.pid}")
        fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
        boot = int(re.search(r"^btime (\d+)", pathlib.Path("/proc/stat").read_text(), re.M).group(1))
        ticks = os.sysconf("SC_CLK_TCK")
        assert abs(one_of(page, "process_start_time_seconds") - (boot + int(fields[19]) / ticks)) < 2  # btime is cut to a second
        assert one_of(page, "process_threads") == int(fields[17])
        assert one_of(page, "process_open_fds") == len(os.listdir(proc / "fd"))
        used = (int(fields[11]) + int(fields[12])) / ticks
        assert used - 1 < one_of(page, "process_cpu_seconds_total") < used + 0.1
        statm = [int(n) * os.sysconf("SC_PAGE_SIZE") for n in (proc / "statm").read_text().split()]
        assert abs(one_of(page, "process_resident_memory_bytes") - statm[1]) < 4 << 20
        assert one_of(page, "process_resident_memory_bytes") == one_of(page, "memory_usage_bytes", type="resident") > 50 << 20
        limit = re.search(r"^Max open files +(\d+)", (proc / "limits").read_text(), re.M)
        assert one_of(page, "process_max_fds") == int(limit.group(1))
        assert one_of(page, "process_virtual_memory_max_bytes") == math.inf
        otel = scrape(address, query="?names=otel")
        assert one_of(otel, "process_open_file_descriptor_count") == one_of(page, "process_open_fds")
        [labels] = page["perfprobe_info"]
        assert dict(labels)["pid"] == str(p.pid) and dict(labels)["comm"] == "python3"
        first = one_of(page, "perfprobe_helper_cpu_seconds_total")
        assert 0 < first < one_of(scrape(address), "perfprobe_helper_cpu_seconds_total") < 2


FIRST_ENDS = """
import ctypes, threading, time
b = bytearray(b'x' * (20 << 20))
def idle():
    print('ready', flush=True)
    while True: time.sleep(0.02)
threading.Thread(target=idle).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_without_its_first_thread(tmp_path):
    """The kernel has no memory and no descriptors for that any more: figures are right, or not there."""
    with Python(tmp_path, FIRST_ENDS) as p:
        wait_until(lambda: "State:\tZ" in pathlib.Path(f"/proc/{p.pid}/status").read_text(), what="the end of the first thread")
        page = scrape(where(p.pid))
        assert one_of(page, "process_resident_memory_bytes") > 20 << 20
        assert "process_open_fds" not in page or one_of(page, "process_open_fds") >= 3
        assert one_of(page, "process_cpu_seconds_total") > 0


LEAKS = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for _ in range(20): libc.malloc(1000)
print('ready', flush=True)
sys.stdin.read()
"""


def test_heap_and_leaks_are_as_in_the_profile(tmp_path):
    """Of a program that does nothing meanwhile."""
    process = subprocess.Popen([PYTHON, "-c", LEAKS], env=environment(tmp_path, heap="full", metrics=ANY), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        address = where(process.pid)
        page = scrape(address)
        assert not [name for name in page if "leak" in name], "nobody has looked"
        path = perfprobe("leaks", process.pid).strip().split("\n")[-1]
        heap, leaks = info(path)["heap"], json.loads(analyze("leaks", "--json", path).stdout)
        page = scrape(address)
        assert heap["live_bytes"] == one_of(page, "perfprobe_heap_live_bytes") == one_of(page, "memory_usage_bytes", type="heap") > 100000
        assert heap["live_count"] == one_of(page, "perfprobe_heap_live_blocks")
        assert heap["alloc_bytes"] == one_of(page, "perfprobe_heap_allocated_bytes_total")
        assert heap["alloc_count"] == one_of(page, "perfprobe_heap_allocations_total")
        assert one_of(page, "perfprobe_heap_freed_bytes_total") == heap["alloc_bytes"] - heap["live_bytes"]
        assert sum(page["perfprobe_leaked_bytes"].values()) == leaks["leaked_bytes"] >= 15 * 1000  # the last pointers may be left on the stack
        assert sum(page["perfprobe_leaked_blocks"].values()) == leaks["leaked_blocks"] >= 15
        assert one_of(page, "perfprobe_leaked_blocks", kind="direct", confirmed="yes") >= 15
        assert abs(one_of(page, "perfprobe_leak_check_timestamp_seconds") - time.time()) < 10
        assert one_of(page, "perfprobe_profiles_total") == 1
    finally:
        process.kill()
        process.wait()


LEAK_FAMILIES = ("perfprobe_leaked_bytes", "perfprobe_leaked_blocks", "perfprobe_leak_check_timestamp_seconds", "perfprobe_leak_check_pause_seconds")


def test_figures_of_leaks_are_those_of_a_whole_check(tmp_path):
    """Scraped while checks are under way, which look twice, half a second apart."""
    process = subprocess.Popen([PYTHON, "-c", LEAKS], env=environment(tmp_path, heap="full", metrics=ANY), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        address, meanwhile, after = where(process.pid), [], []
        for _ in range(2):
            check = threading.Thread(target=perfprobe, args=("leaks", process.pid))
            check.start()
            pages = []
            while check.is_alive():
                pages.append(scrape(address))
            check.join()
            assert len(pages) > 2
            meanwhile.append([[page.get(name) for name in LEAK_FAMILIES] for page in pages])
            page = scrape(address)
            after.append([page.get(name) for name in LEAK_FAMILIES])
        assert sum(after[0][1].values()) >= 15 and after[0][1][("confirmed", "yes"), ("kind", "direct")] >= 15
        for figures in meanwhile[0]:
            assert figures == [None] * 4 or figures == after[0]
        for figures in meanwhile[1]:
            assert figures in (after[0], after[1])
        assert meanwhile[0][0] == [None] * 4 and meanwhile[1][0] == after[0] and after[1][2] != after[0][2]
    finally:
        process.kill()
        process.wait()


def test_losses_are_counted(tmp_path):
    """Here: a connection that is encrypted, and one that cannot be followed."""
    with Server(tmp_path) as server:
        address = where(server.pid)
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
        wait_until(lambda: len(lost(scrape(address))) == 2, what="two losses")
        assert lost(scrape(address)) == {"http.encrypted": 1, "http.given_up": 1}


# ---- who reads it


def test_promtool(tmp_path):
    """Nothing to complain about; of OpenTelemetry's names only that two gauges end as those have it."""
    need("promtool")
    with Server(tmp_path) as server:
        address = where(server.pid)
        load(server.port, "/", 3, collections.Counter())
        for query, complaints in (("", set()), ("?names=otel", {"process_open_file_descriptor_count", "process_thread_count"})):
            done = subprocess.run(["promtool", "check", "metrics"], input=fetch(address, query), capture_output=True, text=True, timeout=30)
            told = {line.split()[0] for line in (done.stdout + done.stderr).splitlines() if line.strip()}
            assert told == complaints and done.returncode == (3 if complaints else 0), done


def test_prometheus(tmp_path):
    """It scrapes a port and finds what the client counted. It asks for OpenMetrics."""
    need("prometheus")
    with Server(tmp_path) as server:
        address = where(server.pid)
        port = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: server\n    static_configs:\n"
                          f"      - targets: ['127.0.0.1:{urllib.parse.urlsplit(address).port}']\n")
        log = open(tmp_path / "prometheus.log", "w")
        prometheus = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                                       f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            def query(expression):
                url = f"http://127.0.0.1:{port}/api/v1/query?query=" + urllib.parse.quote(expression)
                try:
                    with urllib.request.urlopen(url, timeout=10) as answer:
                        return json.load(answer)["data"]["result"]
                except OSError:
                    return []

            def value(expression):
                found = query(expression)
                return float(found[0]["value"][1]) if len(found) == 1 else None

            wait_until(lambda: value("up") == 1, 40, "a scrape")
            load(server.port, "/", 70, collections.Counter())
            load(server.port, "/status?code=503", 7, collections.Counter())
            wait_until(lambda: value("sum(http_requests_total)") == 77, 20, "77 requests")
            assert value('http_requests_total{method="GET",route="/",status="200"}') == 70
            assert value('http_request_duration_seconds_count{route="/status",status="503"}') == 7
            assert value('http_request_duration_seconds_bucket{route="/",le="+Inf"}') == 70
            assert value('count(http_request_duration_seconds_bucket{route="/"})') == 17
            assert value("histogram_quantile(0.5, http_request_duration_seconds_bucket{route='/'})") < 0.01
            assert value("sum(perfprobe_lost_total)") == 0
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/metadata", timeout=10) as answer:
                told = json.load(answer)["data"]
            assert told["http_request_duration_seconds"][0]["type"] == "histogram"
            assert told["http_requests"][0]["type"] == "counter", "it asked for OpenMetrics, where a counter's family has no ending"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=10) as answer:
                [target] = json.load(answer)["data"]["activeTargets"]
            assert target["lastError"] == "" and target["health"] == "up"
        finally:
            prometheus.terminate()
            prometheus.wait(20)
            log.close()


# ---- addresses


def test_off_by_default(tmp_path):
    with Running(tmp_path, [PYTHON, "-c", IDLE]) as p:
        wait_until(lambda: "ready" in p.output(), what="the program")
        assert status_line(p.process.pid) == "off"
        time.sleep(0.3)
        assert listening(p.process.pid) == []


def listening(pid):
    """Inodes of TCP sockets that listen and that any thread of the process has."""
    inodes = {line.split()[9] for table in ("tcp", "tcp6") for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
              if line.split()[3] == "0A"}
    held = set()
    for fd in pathlib.Path(f"/proc/{pid}/task").glob("*/fd/*"):
        try:
            held.add(os.readlink(fd))
        except OSError:
            pass
    return [i for i in inodes if f"socket:[{i}]" in held]


def test_set_while_it_runs(tmp_path):
    """What was counted before is there; off, and another address."""
    with Server(tmp_path, metrics="off") as server:
        load(server.port, "/", 11, collections.Counter())
        perfprobe("set", server.pid, f"METRICS={ANY}")
        address = where(server.pid)
        assert requests_of(scrape(address)) == {("GET", "/", "200"): 11}
        perfprobe("set", server.pid, f"METRICS=unix:{tmp_path}/%p.sock")
        wait_until(lambda: status_line(server.pid) == f"unix:{tmp_path}/{server.pid}.sock", what="the other address")
        assert requests_of(scrape(where(server.pid))) == {("GET", "/", "200"): 11}
        with pytest.raises(OSError):
            connect(address)
        perfprobe("set", server.pid, "METRICS=off")
        wait_until(lambda: status_line(server.pid) == "off", what="none")
        assert list(tmp_path.glob("*.sock")) == []


@users
def test_unix_socket(tmp_path, user):
    """For its user alone; gone at the end, whoever takes its place meanwhile; one that was left behind is taken over."""
    usable_by_all(tmp_path)
    path = tmp_path / "m.sock"
    for how in (9, 15):
        with Server(tmp_path, metrics=f"unix:{path}", user=user) as server:
            assert where(server.pid) == f"unix:{path}"
            assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600 and os.lstat(path).st_uid == (os.getuid() if user is None else user)
            load(server.port, "/", 5, collections.Counter())
            assert requests_of(scrape(f"unix:{path}")) == {("GET", "/", "200"): 5}
            server.stop(how)
        assert path.exists() == (how == 9)


def test_a_unix_socket_whatever_the_umask(tmp_path):
    path = tmp_path / "m.sock"
    with Python(tmp_path, "import os; os.umask(0o777)\n" + IDLE, metrics=f"unix:{path}") as p:
        assert where(p.pid) == f"unix:{path}"
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        os.rename(path, tmp_path / "away")
        path.symlink_to("victim")
        (tmp_path / "victim").write_text("x")
        (tmp_path / "victim").chmod(0o644)
        time.sleep(1.5)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 and path.is_symlink()
        assert one_of(scrape(f"unix:{tmp_path}/away"), "perfprobe_recording") == 1, "the old one serves until there is a new one"


def test_two_processes_and_one_name(tmp_path):
    """One has it, whichever, and the other says why it has none."""
    path = tmp_path / "m.sock"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Python(tmp_path / "a", IDLE, metrics=f"unix:{path}") as a, Python(tmp_path / "b", IDLE, metrics=f"unix:{path}") as b:
        told = {a.pid: "", b.pid: ""}

        def is_settled():
            told.update({pid: status_line(pid) for pid in told})
            return sorted(told.values()) == ["none: another process has it", f"unix:{path}"]

        wait_until(is_settled, 20, "one of two")
        [labels] = scrape(f"unix:{path}")["perfprobe_info"]
        assert told[int(dict(labels)["pid"])] == f"unix:{path}"
        assert (a.output() + b.output()).count("perfprobe: no metrics at") == 1


def test_what_stands_there_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with Python(tmp_path, IDLE, metrics=f"unix:{path}") as p:
        wait_until(lambda: status_line(p.pid).startswith("none: something that is no socket"), what="a refusal")
        wait_until(lambda: "no metrics at" in p.output(), what="a sentence")
        assert p.output().count("perfprobe:") == 1
    assert path.read_text() == "data"


@pytest.mark.parametrize("value", ["nonsense", "127.0.0.1", "*:9464", "127.0.0.1:9464-1", "unix:relative"])
def test_bad_values_are_said_once(tmp_path, value):
    done = record(tmp_path, [PYTHON, "-c", "pass"], metrics=value)
    assert done.stderr.count("perfprobe:") == 1 and f"PERFPROBE_METRICS='{value}' is not usable" in done.stderr


def test_ipv6(tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with Python(tmp_path, IDLE, metrics="[::1]:0") as p:
        assert re.fullmatch(r"http://\[::1\]:\d+/metrics", where(p.pid))
        assert one_of(scrape(where(p.pid)), "perfprobe_recording") == 1


# ---- several processes


def nginx_conf(directory, port, workers):
    conf = directory / "nginx.conf"
    conf.write_text(f"""daemon off; master_process on; worker_processes {workers}; pid {directory}/pid; error_log {directory}/error.log;
{f"user {pwd.getpwuid(os.getuid()).pw_name};" if ROOT else ""}
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
server {{ listen 127.0.0.1:{port}; location /ok {{ return 200 "fine"; }} }} }}
""")
    return [NGINX, "-p", directory, "-c", conf]


def children_of(pid):
    return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_range(count):
    """The first of so many ports that are free; below those the kernel gives to connections."""
    for first in range(20000, 32000, count):
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise AssertionError("no free ports")


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
@pytest.mark.parametrize("how", ["range", "unix"])
def test_nginx_workers(tmp_path, how):
    """Each process has a page of its own; together they have every request, whichever worker answered it."""
    port, first = free_port(), free_range(8)
    metrics = f"127.0.0.1:{first}-{first + 7}" if how == "range" else f"unix:{tmp_path}/%p.sock"
    with Running(tmp_path, nginx_conf(tmp_path, port, 4), metrics=metrics) as server:
        wait_until(lambda: len(children_of(server.process.pid)) == 4, what="four workers")
        pids = [server.process.pid, *children_of(server.process.pid)]
        addresses = {pid: where(pid) for pid in pids}
        assert len(set(addresses.values())) == 5
        if how == "range":
            assert {urllib.parse.urlsplit(a).port for a in addresses.values()} == set(range(first, first + 5))
        for _ in range(40):
            load(port, "/ok", 5, collections.Counter())
        load(port, "/none", 3, collections.Counter())
        pages = {pid: scrape(address) for pid, address in addresses.items()}
        for pid, page in pages.items():
            assert [dict(k)["pid"] for k in page["perfprobe_info"]] == [str(pid)]
        assert requests_of(pages[pids[0]]) == {}, "the master answers nobody"
        total = collections.Counter()
        for page in pages.values():
            total.update(requests_of(page))
        assert total == {("GET", "/ok", "200"): 200, ("GET", "/none", "404"): 3}
        assert "perfprobe:" not in server.output()


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_nginx_workers_and_a_single_port(tmp_path):
    """The master has it, and its page counts the others; no other port is taken."""
    port, first = free_port(), free_range(8)
    with Running(tmp_path, nginx_conf(tmp_path, port, 4), metrics=f"127.0.0.1:{first}") as server:
        wait_until(lambda: len(children_of(server.process.pid)) == 4, what="four workers")
        workers = children_of(server.process.pid)
        assert where(server.process.pid) == f"http://127.0.0.1:{first}/metrics"
        for pid in workers:
            wait_until(lambda: status_line(pid) == "none: another process has it", what="a refusal")
            assert re.search(r"^lost +.*metrics\.unreachable 1", perfprobe("status", pid), re.M)
        # It has put its log where stderr was, so nobody is told there.
        assert one_of(scrape(where(server.process.pid)), "perfprobe_metrics_refused_processes_total") == 4
        for other in range(first + 1, first + 8):
            assert socket.socket().connect_ex(("127.0.0.1", other)) != 0
        load(port, "/ok", 5, collections.Counter())


FORKS = """
import os, time
bytearray(10 << 20)
pid = os.fork()
print(pid or 'child', flush=True)
{rest}
while True: time.sleep(0.05)
"""


def test_a_forked_child_has_its_own_figures_and_takes_over_a_free_port(tmp_path):
    port = free_range(1)
    with Python(tmp_path, FORKS.format(rest="if pid:\n    time.sleep(3); os._exit(0)"), metrics=str(port)) as p:
        wait_until(lambda: re.search(r"^\d+$", p.output(), re.M), what="a child")
        child = int(re.search(r"^\d+$", p.output(), re.M).group())
        try:
            page = scrape(where(p.pid))
            assert [dict(k)["pid"] for k in page["perfprobe_info"]] == [str(p.pid)]
            assert status_line(child) == "none: another process has it"
            p.process.wait(20)
            wait_until(lambda: status_line(child).startswith("http://"), what="the free port")
            page = scrape(f"http://127.0.0.1:{port}/metrics")
            assert [dict(k)["pid"] for k in page["perfprobe_info"]] == [str(child)]
            assert one_of(page, "perfprobe_scrapes_total") == 1 and lost(page).get("metrics.unreachable") is None
        finally:
            os.kill(child, 9)


MANY = """
import os, time
print('ready', flush=True)
for _ in range(8):
    if not os.fork(): break
end = time.time() + 20
while time.time() < end: time.sleep(0.05)
"""


def test_one_says_for_all_that_the_port_is_taken(tmp_path):
    port = free_range(1)
    with Python(tmp_path, MANY, metrics=str(port)) as p:
        wait_until(lambda: len(children_of(p.pid)) == 8, what="children")
        children = children_of(p.pid)
        try:
            wait_until(lambda: port_open(port), what="one of nine")
            wait_until(lambda: one_of(scrape(f"http://127.0.0.1:{port}/metrics"), "perfprobe_metrics_refused_processes_total") == 8, what="eight refused")
            assert p.output().count("perfprobe: no metrics at") == 1 and "a range" in p.output()
        finally:
            for pid in children:
                os.kill(pid, 9)


def test_a_restart_has_the_port_at_once(tmp_path):
    """Although connections to the last process have ended a moment ago."""
    port = free_range(1)
    for _ in range(3):
        with Server(tmp_path, metrics=str(port)) as server:
            assert where(server.pid) == f"http://127.0.0.1:{port}/metrics"
            scrape(where(server.pid))
            assert "no metrics" not in server.output()


# ---- who means harm


GARBAGE = [b"\x00" * 100, b"\xff" * 10000, b"GET", b"GET /metrics\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"\n" * 9000, b"\r\n\r\n",
           b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 3000 + b"\r\n", b"status\n", b"set DIR=/x\n",
           b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\n" * 99, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
           b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000, b"GET /metrics HTTP/1.1\r\nAccept: " + b"," * 7000]


def test_garbage(tmp_path):
    with Server(tmp_path) as server:
        address = where(server.pid)
        for data in GARBAGE + [os.urandom(n) for n in range(1, 2000, 97)]:
            with connect(address) as s:
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    answer = s.recv(65536)
                except (BrokenPipeError, ConnectionResetError):
                    answer = b""
                assert answer == b"" or re.match(rb"HTTP/1\.1 (400|405|431|505) ", answer), (data[:40], answer[:200])
        load(server.port, "/", 5, collections.Counter())
        page = scrape(address)
        assert requests_of(page) == {("GET", "/", "200"): 5} and lost(page) == {} and one_of(page, "perfprobe_scrapes_total") == 1


def test_slow_and_many_clients_hold_nobody_up(tmp_path):
    """Profiles are written meanwhile, the control socket answers, a scraper that asks is answered, and memory is given back."""
    with Server(tmp_path, every="100ms") as server:
        address = where(server.pid)
        mapped = one_of(scrape(address), "perfprobe_mapped_bytes")
        held = []
        for i in range(400):
            s = connect(address)
            s.sendall((b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[i % 3])
            held.append(s)
            if i % 40 == 39:
                start = time.monotonic()
                scrape(address)
                assert time.monotonic() - start < 5
        start = time.monotonic()
        assert status_line(server.pid).startswith("http://") and time.monotonic() - start < 2
        count = len(list(tmp_path.glob("*.interval.snap")))
        time.sleep(1)
        assert len(list(tmp_path.glob("*.interval.snap"))) - count >= 5, "snapshots went on"
        slow = connect(address)
        start = time.monotonic()
        try:
            while time.monotonic() - start < 10:
                slow.sendall(b"G")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - start < 8, "one that goes on for ever is sent away"
        for s in held:
            s.close()
        load(server.port, "/", 5, collections.Counter())
        page = scrape(address)
        assert requests_of(page) == {("GET", "/", "200"): 5}
        assert one_of(page, "perfprobe_mapped_bytes") < mapped + (16 << 20)


FULL = """
import os, resource, time
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
held = []
try:
    while True: held.append(os.open('/dev/null', 0))
except OSError:
    print('full', len(held), flush=True)
while True: time.sleep(0.05)
"""


@users
def test_a_full_table_of_descriptors(tmp_path, user):
    """The program's, which has none of ours."""
    usable_by_all(tmp_path)
    with Python(tmp_path, FULL, user=user) as p:
        before = sorted(os.listdir(f"/proc/{p.pid}/fd"))
        address = where(p.pid)
        for _ in range(5):
            page = scrape(address)
            assert one_of(page, "process_max_fds") == 256 <= len(before) == one_of(page, "process_open_fds")  # a perf event is above
        assert sorted(os.listdir(f"/proc/{p.pid}/fd")) == before


CLOSES = """
import os, time
os.closerange(3, 1000)
first = os.open('/dev/null', 0)
print('first', first, flush=True)
while True:
    os.closerange(3, 1000)
    assert os.open('/dev/null', 0) == 3
    time.sleep(0.05)
"""


def test_a_program_that_closes_all_descriptors(tmp_path):
    with Python(tmp_path, CLOSES) as p:
        address = where(p.pid)
        for _ in range(10):
            assert one_of(scrape(address), "perfprobe_recording") == 1
        assert p.process.poll() is None and "first 3" in p.output()


SECCOMP = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
arch, numbers = {'x86_64': (0xc000003e, dict(socket=41, bind=49, listen=50, setsockopt=54, shutdown=48, accept4=288)),
                 'aarch64': (0xc00000b7, dict(socket=198, bind=200, listen=201, setsockopt=208, shutdown=210, accept4=242))}[os.uname().machine]
def insn(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
prog = (insn(0x20, 0, 0, 4) + insn(0x15, 0, 3, arch) + insn(0x20, 0, 0, 0) + insn(0x15, 0, 1, numbers[sys.argv[1]]) +
        insn(0x06, 0, 0, 0x80000000) + insn(0x06, 0, 0, 0x7fff0000))  # kills the process
buf = ctypes.create_string_buffer(prog)
fprog = struct.pack('HxxxxxxQ', len(prog) // 8, ctypes.addressof(buf))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, fprog, 0, 0) == 0
os.execve(sys.argv[3], sys.argv[3:], dict(os.environ, LD_PRELOAD=sys.argv[2]))
"""


@pytest.mark.parametrize("call", ["socket", "bind", "listen", "setsockopt", "shutdown", "accept4"])
def test_a_filter_that_kills_who_calls(tmp_path, call):
    """The program goes on without a page; said once and counted."""
    env = environment(tmp_path, every="200ms", metrics=ANY)
    del env["LD_PRELOAD"]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([PYTHON, "-c", SECCOMP, call, str(LIBRARY), PYTHON, "-c", IDLE], env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "perfprobe: no metrics at 127.0.0.1:0: Permission denied" in (tmp_path / "log").read_text(), what="a sentence")
        count = len(list(tmp_path.glob("*.snap")))
        wait_until(lambda: len(list(tmp_path.glob("*.snap"))) > count + 2, what="snapshots")
        assert process.poll() is None and (tmp_path / "log").read_text().count("perfprobe:") == 1
        assert info(sorted(tmp_path.glob("*.snap"))[-1])["lost"]["metrics.unreachable"] == 1
    finally:
        process.kill()
        process.wait()


def test_scrapes_while_the_program_forks_and_allocates(tmp_path):
    """Children come and go, some of them for long enough to have a page of their own; each page is whole, and the program ends as ever."""
    first = free_range(32)
    with Running(tmp_path, [VICTIMS / "victim_hostile_process", "until_ended", "several"], heap="full", cpu=999,
                 metrics=f"127.0.0.1:{first}-{first + 31}") as r:
        wait_until(lambda: "ready" in r.output(), what="ready")
        address, end, pages = where(r.process.pid), time.monotonic() + 5, 0
        while time.monotonic() < end:
            page = scrape(address, accept=OPENMETRICS if pages % 2 else None)
            [labels] = page["perfprobe_info"]
            assert dict(labels)["pid"] == str(r.process.pid)
            pages += 1
        assert pages > 20 and one_of(page, "perfprobe_heap_allocations_total") > 100
        start = time.monotonic()
        assert r.stop() == -signal.SIGTERM and time.monotonic() - start < 3


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_a_program_that_gives_up_its_rights(tmp_path):
    """Its helper has the new ones, and the address still."""
    usable_by_all(tmp_path)
    port = free_range(1)
    program = f"import os, time\ntime.sleep(0.3)\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n" + IDLE
    with Python(tmp_path, program, metrics=str(port)) as p:
        address = where(p.pid)
        page = scrape(address)
        assert one_of(page, "perfprobe_recording") == 1 and lost(page).get("metrics.unreachable") is None
        assert one_of(page, "perfprobe_helper_cpu_seconds_total") > 0


def test_exec_has_the_port_again(tmp_path):
    port = free_range(1)
    with Python(tmp_path, f"import os, time\ntime.sleep(0.4)\nos.execv('{PYTHON}', ['{PYTHON}', '-c', '''{IDLE}'''])", metrics=str(port), follow="both") as p:
        assert where(p.pid) == f"http://127.0.0.1:{port}/metrics"
        assert one_of(scrape(where(p.pid)), "perfprobe_recording") == 1


def test_launcher(tmp_path):
    """`perfprobe run --metrics`."""
    env = environment(tmp_path)
    del env["LD_PRELOAD"]
    env["PERFPROBE_LIB"] = str(LIBRARY)
    process = subprocess.Popen([str(PERFPROBE), "run", "--metrics", ANY, "--", PYTHON, "-c", IDLE], env=env, stdout=subprocess.DEVNULL, **identity(None))
    try:
        assert one_of(scrape(where(process.pid)), "perfprobe_recording") == 1
    finally:
        process.kill()
        process.wait()

"""probe-load over TLS, against nginx, which keeps its own books: trust, client certificates, versions, resumption."""
import json
import shutil
import socket
import subprocess
import threading

import pytest

from test_load import PROBE_LOAD, answers, check_sums, errors, load, logged, results, wait_until


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)


def certificate(home, name, subject, alt=None):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", home / f"{name}.key", "-out", home / f"{name}.pem",
            "-days", 2, "-subj", f"/CN={subject}", *(["-addext", f"subjectAltName={alt}"] if alt else []))


class Server:
    """url[name] for each kind of server block; log: what nginx wrote down."""

    def __init__(self, home):
        certificate(home, "server", "localhost", "DNS:localhost,IP:127.0.0.1")
        certificate(home, "client", "someone")
        (home / "body").write_bytes(b"b" * 300000)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = dict(zip(("plain", "client", "old"), (s.getsockname()[1] for s in listeners)))
        for s in listeners:
            s.close()
        blocks = {"plain": "ssl_protocols TLSv1.2 TLSv1.3;", "client": f"ssl_protocols TLSv1.3; ssl_client_certificate {home}/client.pem; ssl_verify_client on;",
                  "old": "ssl_protocols TLSv1.2; keepalive_requests 10;"}
        servers = "".join(f"""server {{ listen 127.0.0.1:{ports[n]} ssl; {extra} location = /empty {{ return 200; }}
            location = /resumed {{ return 200 $ssl_session_reused; }} location / {{ root {home}; }} }}""" for n, extra in blocks.items())
        temp = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (home / "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {home}/pid; error_log {home}/error.log; events {{ worker_connections 256; }}
            http {{ log_format short '$status $ssl_protocol $ssl_session_reused $ssl_server_name'; access_log {home}/access.log short; {temp}
            ssl_certificate {home}/server.pem; ssl_certificate_key {home}/server.key; ssl_session_cache shared:s:1m; {servers} }}""")
        self.home, self.log = home, home / "access.log"
        self.url = {name: f"https://localhost:{port}" for name, port in ports.items()}
        self.ports = ports
        self.process = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
        wait_until(lambda: all(answers(port) for port in ports.values()))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not shutil.which("nginx") or not shutil.which("openssl"):
        pytest.fail("nginx or openssl is not installed (scripts/setup installs them)")
    s = Server(tmp_path_factory.mktemp("tls"))
    yield s
    s.process.terminate()
    s.process.wait(10)


def trusting(s):
    return ["--cacert", s.home / "server.pem"]


def test_counts_agree_with_the_log(server):
    since = server.log.stat().st_size
    r = results(server.url["plain"] + "/empty", "-n", 3000, "-c", 16, "-t", 2, *trusting(server))
    assert check_sums(r) == 3000 == r["status"]["200"] and errors(r) == {} and r["connections_opened"] == 16
    wait_until(lambda: sum(logged(server.log, since).values()) == 3000)
    lines = {line for line in server.log.read_text()[since:].splitlines()}
    assert lines == {"200 TLSv1.3 . localhost"}  # the name was sent; nothing was resumed


@pytest.mark.parametrize("path,size", [("/body", 300000), ("/empty", 0)])
def test_bodies(server, path, size):
    r = results(server.url["plain"] + path, "-n", 50, "-c", 4, "--insecure")
    assert check_sums(r) == 50 == r["status"]["200"]
    assert 50 * size < r["metrics"]["data_received"]["count"] < 50 * (size + 400)


def test_a_large_request(server, tmp_path):
    (tmp_path / "up").write_bytes(b"u" * 900000)
    r = results(server.url["plain"] + "/empty", "-n", 20, "-c", 2, "-b", f"@{tmp_path}/up", "-k")
    assert check_sums(r) == 20 == r["status"]["200"]
    assert r["metrics"]["data_sent"]["count"] >= 20 * 900000


def test_a_plan(server, tmp_path):
    """The same server by a plan: trusted, trusted blindly, and not trusted."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"defaults": {"baseUrl": server.url["plain"]}, "scenarios": {"s": {"executor": "per-vu-iterations", "vus": 3, "iterations": 7,
                                                                                                  "flow": [{"get": "/empty"}, {"get": "/body"}]}}}))
    for options, answered in ((trusting(server), 42), (["-k"], 42), ([], 0)):
        since = server.log.stat().st_size
        done = subprocess.run([PROBE_LOAD, "run", plan, *map(str, options), "--json"], capture_output=True, text=True, timeout=60)
        result = json.loads(done.stdout)
        assert result["requests"] == 42 and sum(e["answered"] for e in result["endpoints"]) == answered, done.stdout
        assert answered or result["errors"]["tls"] == 42, result
        wait_until(lambda: sum(logged(server.log, since).values()) == answered)


@pytest.mark.parametrize("args,problem", [([], "self-signed certificate"), (["--cacert", "client.pem"], "self-signed certificate")])
def test_an_untrusted_certificate(server, args, problem):
    done = load(server.url["plain"] + "/empty", "-n", 5, *[server.home / a if a.endswith("pem") else a for a in args])
    assert done.returncode == 1 and "TLS failed" in done.stderr and problem in done.stderr


def test_another_hosts_certificate(server):
    # localhost is in the certificate and so is 127.0.0.1; 127.0.0.2 is not, but nginx does not listen there: so a name by its alias
    name = socket.gethostname()
    try:
        if socket.gethostbyname(name) != "127.0.0.1":
            raise OSError
    except OSError:
        pytest.skip("this machine's own name does not lead to 127.0.0.1")
    done = load(f"https://{name}:{server.ports['plain']}/empty", "-n", 2, *trusting(server))
    assert done.returncode == 1 and "hostname mismatch" in done.stderr


def test_an_address_in_the_certificate(server):
    since = server.log.stat().st_size
    r = results(f"https://127.0.0.1:{server.ports['plain']}/empty", "-n", 5, *trusting(server))
    assert check_sums(r) == 5 == r["status"]["200"]
    wait_until(lambda: sum(logged(server.log, since).values()) == 5)
    assert server.log.read_text()[since:].splitlines()[0].endswith(" -")  # an address is no server name


def test_client_certificates(server):
    url = server.url["client"] + "/empty"
    r = results(url, "-n", 10, *trusting(server), "--cert", server.home / "client.pem", "--key", server.home / "client.key")
    assert r["status"] == {"200": 10}
    assert results(url, "-n", 10, *trusting(server))["status"] == {"400": 10}


def test_resumption(server):
    for name, version in (("plain", "TLSv1.3"), ("old", "TLSv1.2")):
        args = [server.url[name] + "/empty", "-n", 40, "-c", 1, "-H", "Connection: close", *trusting(server)]
        since = server.log.stat().st_size
        r = results(*args, "--tls-resume")
        assert check_sums(r) == 40 == r["connections_opened"] and r["tls_resumed"] >= 38
        assert results(*args)["tls_resumed"] == 0
        wait_until(lambda: sum(logged(server.log, since).values()) == 80)
        assert server.log.read_text()[since:].count(f"200 {version} r localhost") == r["tls_resumed"]


def test_a_server_that_closes_now_and_then(server):
    r = results(server.url["old"] + "/empty", "-n", 500, "-c", 5, *trusting(server))
    assert check_sums(r) == 500 == r["status"]["200"] and r["reconnects"] >= 45


def test_open_model(server):
    r = results(server.url["plain"] + "/empty", "-r", 500, "-d", "1s", "-c", 50, *trusting(server))
    assert check_sums(r) == 500 == r["status"]["200"]


def test_no_tls_on_the_other_side():
    with socket.create_server(("127.0.0.1", 0)) as s:
        def serve():
            for _ in range(3):
                c, _ = s.accept()
                c.recv(1000)
                c.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
                c.close()
        threading.Thread(target=serve, daemon=True).start()
        r = results(f"https://127.0.0.1:{s.getsockname()[1]}/", "-n", 3, "-c", 1, "-k", code=1)
    assert errors(r) == {"tls": 3} and r["tls_problem"] == "wrong version number"


def test_a_server_that_hangs_in_the_handshake():
    with socket.create_server(("127.0.0.1", 0)) as s:
        r = results(f"https://127.0.0.1:{s.getsockname()[1]}/", "-n", 2, "-c", 2, "-k", "--timeout", "300ms", code=1)
    assert errors(r) == {"timeout": 2}


def test_a_record_that_is_broken_midway(server):
    """A proxy that flips a bit of what the server sends after the handshake."""
    def pump(a, b, spoil):
        seen = 0
        try:
            while data := a.recv(65536):
                seen += len(data)
                if spoil and seen > 100000:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                b.sendall(data)
        except OSError:
            pass
        for side in (a, b):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        def serve():
            while True:
                try:
                    c, _ = proxy.accept()
                except OSError:
                    return
                up = socket.create_connection(("127.0.0.1", server.ports["plain"]))
                threading.Thread(target=pump, args=(c, up, False), daemon=True).start()
                threading.Thread(target=pump, args=(up, c, True), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        r = results(f"https://127.0.0.1:{proxy.getsockname()[1]}/body", "-n", 4, "-c", 2, "-k", code=1)
    assert errors(r) == {"tls": 4} and "bad record mac" in r["tls_problem"]


@pytest.mark.parametrize("args,sentence", [(["http://a/", "-k"], "the URL is not https"), (["https://a/", "--cacert", "/nonexistent"], "/nonexistent"),
                                           (["https://a/", "--key", "x"], "needs the certificate"), (["https://a/", "--cert", "/nonexistent"], "cannot read a certificate")])
def test_wrong_use(args, sentence):
    done = load(*args)
    assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1

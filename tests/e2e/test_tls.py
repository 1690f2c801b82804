"""Requests inside TLS by OpenSSL: as many as the clients made, whatever brought libssl into the program; and what is not seen
is counted as encrypted."""

import contextlib
import http.client
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time

import pytest

from recording import LIBRARY, Running, environment, free_port, info, need, one, port_open, record, wait_until
from test_requests import NGINX, assert_close, get, port_of, read_responses, requests_of, requests_now, routes


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a key and of a certificate that it signed itself."""
    need("openssl")
    where = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", where / "key.pem", "-out", where / "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True, timeout=60)
    return where / "key.pem", where / "cert.pem"


def trusting(*protocols):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@contextlib.contextmanager
def connected(port, *protocols):
    """A TLS socket; at the end both sides have said that nothing more comes: the server's writes are back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with trusting(*protocols).wrap_socket(plain) as s:
            yield s
            with contextlib.suppress(OSError):
                s.unwrap()


def timed(port, path, count, status=b"200"):
    """Keep-alive requests whose answers come in one record; what each took, in ms."""
    took = []
    with connected(port) as s:
        text = get(path)
        for _ in range(count):
            start = time.monotonic()
            s.sendall(text)
            answer = s.recv(65536)
            took.append((time.monotonic() - start) * 1000)
            assert answer.startswith(b"HTTP/1.1 " + status)
    return took


def fetched(port, path, count, method="GET"):
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting())
    for _ in range(count):
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
    connection.close()
    return answer


def lost(directory):
    losses = info(one(directory))["lost"]
    return {name: losses["http." + name] for name in ("encrypted", "http2", "given_up", "nested", "connections_full")}


NOTHING = {"encrypted": 0, "http2": 0, "given_up": 0, "nested": 0, "connections_full": 0}


def nginx(tmp_path, certificate, port, version):
    key, cert = certificate
    root = tmp_path / "root"
    root.mkdir()
    (root / "f.bin").write_bytes(b"y" * 300000)
    (root / "page.txt").write_bytes(b"words " * 20000)
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; gzip on; gzip_types *; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
server {{ listen 127.0.0.1:{port} ssl http2; ssl_protocols {version}; ssl_early_data on; ssl_certificate {cert}; ssl_certificate_key {key}; root {root};
location /ok {{ return 200 "fine"; }} }} }}
""")
    return [NGINX, "-p", tmp_path, "-c", conf]


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_nginx(tmp_path, certificate, version):
    port = free_port()
    with Running(tmp_path, nginx(tmp_path, certificate, port, version)) as server:
        wait_until(lambda: port_open(port), what="nginx")
        timed(port, "/ok", 50)
        fetched(port, "/f.bin", 8)
        fetched(port, "/none", 2)
        with connected(port) as s:  # in pieces, and with a coding that ends in chunked
            text = get("/page.txt", "Accept-Encoding: gzip\r\n") * 3 + get("/ok") * 40
            for at in range(0, len(text), 100):
                s.sendall(text[at:at + 100])
            assert read_responses(s, 43) == [200] * 43
        assert fetched(port, "/f.bin", 1, "HEAD").status == 200
        for _ in range(5):  # connections without a request are no loss
            with connected(port):
                pass
        with connected(port, "h2") as s:
            assert s.selected_alpn_protocol() == "h2"
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            assert s.recv(1000)[3] == 4
        server.stop()
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", "/ok", 200): 90, ("GET", "/f.bin", 200): 8, ("GET", "/none", 404): 2, ("HEAD", "/f.bin", 200): 1,
                            ("GET", "/page.txt", 200): 3}
    assert data["count"] == 104 and data["unanswered"] == 0
    assert lost(tmp_path) == {**NOTHING, "http2": 1}
    assert all(300000 < r["bytes_out"] < 301000 for r in data["slowest"] if (r["method"], r["path"]) == ("GET", "/f.bin"))


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_median_is_the_clients(tmp_path, certificate):
    """As test_requests.py has it, with the time of encrypting in both."""
    port = free_port()
    with Running(tmp_path, nginx(tmp_path, certificate, port, "TLSv1.3"), cpu="off", heap="off") as server:
        wait_until(lambda: port_open(port), what="nginx")

        def measure():
            before = requests_now(tmp_path, server.process.pid)
            took = timed(port, "/ok", 200)
            time.sleep(0.1)
            inside = [r["duration_ms"] for i, r in requests_now(tmp_path, server.process.pid).items() if i not in before]
            assert len(inside) == 200
            return statistics.median(took), statistics.median(inside)

        assert_close(measure)


def s_client(port, *words, sends=None):
    """One connection of openssl's; it ends when the server has closed it."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ign_eof", *words], input=sends, text=True,
                          capture_output=True, timeout=30)
    return done.stdout


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_a_request_in_early_data(tmp_path, certificate):
    port, text = free_port(), get("/ok", "Connection: close\r\n").decode()
    early = tmp_path / "early.txt"
    early.write_text(text.replace("/ok", "/early"))
    with Running(tmp_path, nginx(tmp_path, certificate, port, "TLSv1.3")) as server:
        wait_until(lambda: port_open(port), what="nginx")
        assert "fine" in s_client(port, "-sess_out", tmp_path / "session", sends=text)
        out = s_client(port, "-sess_in", tmp_path / "session", "-early_data", early, sends="")
        assert "Early data was accepted" in out and "404 Not Found" in out
        server.stop()
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", "/ok", 200): 1, ("GET", "/early", 404): 1}
    assert data["unanswered"] == 0 and lost(tmp_path) == NOTHING


@pytest.mark.parametrize("way,path,status", [("-WWW", "/a.txt", 200), ("-www", "/", 200), ("-HTTP", "/b.http", 404)])
def test_openssl_server(tmp_path, certificate, way, path, status):
    """By a chain of BIOs, never by SSL_read; each answer ends with its connection."""
    port, (key, cert) = free_port(), certificate
    (tmp_path / "a.txt").write_bytes(b"x" * 100000)
    (tmp_path / "b.http").write_bytes(b"HTTP/1.0 404 Not here\r\n\r\nnothing")
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", key, "-cert", cert, way]
    with Running(tmp_path, command, cwd=tmp_path) as server:
        wait_until(lambda: "ACCEPT" in server.output(), what="the server")
        for _ in range(6):
            with connected(port) as s:
                s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                while s.recv(65536):
                    pass
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(b"\x16\x03\x01")  # the one before is at its end when this one is accepted
            time.sleep(0.2)
        server.stop()
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", path, status): 6}
    assert data["unanswered"] == 0 and lost(tmp_path) == NOTHING
    assert all(r["duration_ms"] < 1000 and r["answered"] for r in data["slowest"])
    if way == "-WWW":
        assert all(100000 < r["bytes_out"] < 100200 for r in data["slowest"])


PYTHON_SERVER = """
import http.server, ssl, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/chunked"):
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            for i in range(5):
                self.wfile.write(b"3e8\\r\\n" + b"z" * 1000 + b"\\r\\n")
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        if self.path == "/sleep":
            time.sleep(0.02)
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def test_python_server(tmp_path, certificate):
    """libssl comes with a module, and in a scope of its own."""
    with Running(tmp_path, [sys.executable, "-c", PYTHON_SERVER, *certificate]) as server:
        port = port_of(server)
        took = timed(port, "/sleep", 25)
        took_a = timed(port, "/a?x=1", 100)
        with connected(port) as s:
            s.sendall(get("/chunked") * 12)
            assert read_responses(s, 12) == [200] * 12
        with connected(port) as s:  # a body of more than one record, in pieces
            body = b"b" * 50000
            text = b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + body
            for at in range(0, len(text), 7000):
                s.sendall(text[at:at + 7000])
            assert read_responses(s, 1) == [200]
        server.stop()
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", "/sleep", 200): 25, ("GET", "/a", 200): 100, ("GET", "/chunked", 200): 12, ("POST", "/post", 200): 1}
    assert data["unanswered"] == 0 and lost(tmp_path) == NOTHING
    inside, inside_a = (sorted((r for r in data["slowest"] if r["path"] == path), key=lambda r: r["start_ns"]) for path in ("/sleep", "/a"))
    assert len(inside) == 25 and all(r["duration_ms"] >= 20 for r in inside)
    # As in test_requests.py: one at least has met no other work on the machine. The client's time has deciphering in it.
    apart = sorted(abs(client - r["duration_ms"]) for client, r in zip(took + took_a, inside + inside_a))
    assert apart[0] < 0.2, apart
    assert abs(statistics.median(took) - statistics.median(r["duration_ms"] for r in inside)) < 1, apart
    post = next(r for r in data["slowest"] if r["path"] == "/post")
    assert 50050 < post["bytes_in"] < 50100


ASYNCIO_SERVER = """
import asyncio, ssl, sys
async def serve(reader, writer):
    while line := await reader.readline():
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
        await writer.drain()
    writer.close()
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[1])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


# The handshake begins before anything is received, and another thread receives it.
THREADS_SERVER = """
import queue, socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[1])
def receive(connection, pieces):
    while piece := connection.recv(65536):
        pieces.put(piece)
    pieces.put(b"")
def serve(connection):
    incoming, outgoing, pieces = ssl.MemoryBIO(), ssl.MemoryBIO(), queue.Queue()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    def done(call):
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                result = None
            if outgoing.pending:
                connection.sendall(outgoing.read())
            if result is not None:
                return result
            if not (piece := pieces.get()):
                return b""
            incoming.write(piece)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    threading.Thread(target=receive, args=(connection, pieces)).start()
    try:
        done(lambda: tls.do_handshake() or True)
        text = b""
        while piece := done(lambda: tls.read(65536)):
            text += piece
            while b"\\r\\n\\r\\n" in text:
                text = text[text.index(b"\\r\\n\\r\\n") + 4:]
                done(lambda: tls.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello"))
    except ssl.SSLError:
        pass
    connection.shutdown(socket.SHUT_RDWR)
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    serve(listener.accept()[0])
"""


@pytest.mark.parametrize("program", [ASYNCIO_SERVER, THREADS_SERVER], ids=["asyncio", "threads"])
def test_memory_bios(tmp_path, certificate, program):
    """The program moves the bytes by itself, and was seen to receive a handshake."""
    with Running(tmp_path, [sys.executable, "-c", program, *certificate]) as server:
        port = port_of(server)
        for _ in range(4):
            timed(port, "/a", 10)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(b"\x16\x03\x01\x00\x05hello")  # no handshake that OpenSSL would go on with
            while s.recv(1000):
                pass
        server.stop()
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", "/a", 200): 40} and data["unanswered"] == 0
    assert lost(tmp_path) == NOTHING


CLIENT = """
import http.client, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
for i in range(20):
    connection.request("GET", "/a")
    assert connection.getresponse().read() == b"ok"
"""


def test_a_client_is_no_server(tmp_path, certificate):
    log = open(tmp_path / "server.log", "w")
    with subprocess.Popen([sys.executable, "-c", PYTHON_SERVER, *certificate], stdout=log) as server:
        try:
            wait_until(lambda: "port" in (tmp_path / "server.log").read_text(), what="a port")
            record(tmp_path, [sys.executable, "-c", CLIENT, (tmp_path / "server.log").read_text().split()[1]])
        finally:
            server.kill()
            log.close()
    data = requests_of(one(tmp_path))
    assert data["count"] == data["unanswered"] == 0 and lost(tmp_path) == NOTHING


NODE_SERVER = """
const fs = require("fs"), https = require("https");
const options = { key: fs.readFileSync(process.argv[1]), cert: fs.readFileSync(process.argv[2]) };
const server = https.createServer(options, (q, r) => r.end("ok"));
server.listen(0, "127.0.0.1", () => console.log("port " + server.address().port));
process.on("SIGTERM", () => process.exit(0));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_openssl_inside_the_program_is_counted(tmp_path, certificate):
    linked = subprocess.run(["ldd", shutil.which("node")], capture_output=True, text=True).stdout
    with Running(tmp_path, ["node", "-e", NODE_SERVER, *certificate]) as server:
        port = port_of(server)
        for _ in range(3):
            fetched(port, "/a", 5)
        server.stop()
    data = requests_of(one(tmp_path))
    if "libssl" in linked:
        assert data["count"] == 15 and lost(tmp_path) == NOTHING
    else:
        assert data["count"] == 0 and lost(tmp_path) == {**NOTHING, "encrypted": 3}


# A libssl in small: its objects begin as OpenSSL's do, and its functions say which of the libraries they are in.
FAKE = r"""
#include <stdlib.h>
struct method { int (*unused)(void); };
static int unused(void) { return 0; }
static const struct method method = { unused };
struct ssl { int version; const struct method *method; char rest[512]; };
void *SSL_CTX_new(const void *m) { (void)m; struct ssl *s = calloc(1, sizeof(*s)); s->method = &method; return s; }
void *SSL_new(void *context) { (void)context; return SSL_CTX_new(0); }
void SSL_free(void *ssl) { free(ssl); }
int SSL_is_server(const void *ssl) { (void)ssl; return 1; }
int SSL_read(void *ssl, void *to, int n)
{
	static int calls;
	static const char text[] = "GET /" NAME " HTTP/1.1\r\n\r\n";
	(void)ssl;
	for (int i = 0; i < n && i < (int)sizeof(text) - 1; i++)
		((char *)to)[i] = text[i];
	return ++calls, n < (int)sizeof(text) - 1 ? n : (int)sizeof(text) - 1;
}
int SSL_write(void *ssl, const void *from, int n) { (void)ssl; (void)from; return n; }
"""
USER = r"""
extern void *SSL_CTX_new(const void *), *SSL_new(void *);
extern void SSL_free(void *);
extern int SSL_read(void *, void *, int), SSL_write(void *, const void *, int);
int serve(char *to)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	void *ssl = SSL_new(SSL_CTX_new(0));
	int n = SSL_read(ssl, to, 100);
	SSL_write(ssl, answer, sizeof(answer) - 1);
	SSL_free(ssl);
	return n;
}
"""
HOST = r"""
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
__attribute__((weak)) extern int SSL_read(void *, void *, int);
int main(int argc, char **argv)
{
	char text[101];
	errno = 0;
	if (SSL_read) {
		int rc = SSL_read(text, text, 100);
		printf("%d %d\n", rc, errno == ENOSYS);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 1; i < argc; i++) {
			void *handle = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
			int (*serve)(char *) = (int (*)(char *))dlsym(handle, "serve");
			text[serve(text)] = 0;
			printf("%.6s\n", text);
			if (round)
				dlclose(handle);
		}
	return 0;
}
"""
FRONT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
int calls;
int SSL_write(void *ssl, const void *from, int n);
int SSL_read(void *ssl, void *to, int n)
{
	(void)ssl;
	__builtin_memcpy(to, "GET /in-front HTTP/1.1\r\n\r\n", 26);
	return n < 26 ? n : 26;
}
"""


def compile_c(output, source, *options):
    subprocess.run(["gcc", "-O1", "-w", "-fPIC", *options, "-x", "c", "-", "-x", "none", "-o", output], input=source, text=True, check=True,
                   timeout=60)
    return output


def two_libraries(tmp_path):
    users = []
    for name in ("one", "two"):
        where = tmp_path / name
        where.mkdir()
        compile_c(where / "libfakessl.so", FAKE, "-shared", f'-DNAME="{name}"', f"-Wl,-soname,libfakessl-{name}.so")
        (where / f"libfakessl-{name}.so").symlink_to("libfakessl.so")
        users.append(compile_c(where / "user.so", USER, "-shared", f"-L{where}", "-Wl,--no-as-needed", "-lfakessl", f"-Wl,-rpath,{where}"))
    return compile_c(tmp_path / "host", HOST, "-pie", "-ldl"), users


def test_two_libraries_come_and_go(tmp_path):
    """Each in a scope of its own: the function that is called is the one of the library that made the connection."""
    host, users = two_libraries(tmp_path)
    plain = subprocess.run([host, *users], capture_output=True, text=True, timeout=20)
    assert plain.stdout.split("\n")[:-1] == ["GET /o", "GET /t"] * 3
    done = record(tmp_path, [host, *users])
    assert done.stdout == "-1 1\n" + plain.stdout  # and who has no library gets an error from the call that cannot be made
    data = requests_of(one(tmp_path))
    assert routes(data) == {("GET", "/one", 200): 3, ("GET", "/two", 200): 3} and data["unanswered"] == 0


STRANGER = r"""
int SSL_write(void *a, const void *b, int c) { return a == b ? 1000 + c : -c; }
int SSL_shutdown(void *a) { return *(int *)a; }
"""
STRANGERS_USER = r"""
extern int SSL_write(void *, const void *, int), SSL_shutdown(void *);
int serve(char *to)
{
	int n = 41;
	to[0] = SSL_write(to, to, 5) == 1005 && SSL_write(to, 0, 5) == -5 && SSL_shutdown(&n) == 41 ? 'y' : 'n';
	return 1;
}
"""


def test_functions_of_these_names_that_are_no_openssl(tmp_path):
    compile_c(tmp_path / "libstranger.so", STRANGER, "-shared")
    user = compile_c(tmp_path / "user.so", STRANGERS_USER, "-shared", f"-L{tmp_path}", "-Wl,--no-as-needed", "-lstranger", f"-Wl,-rpath,{tmp_path}")
    host = compile_c(tmp_path / "host", HOST, "-pie", "-ldl")
    done = record(tmp_path, [host, user])
    assert done.stdout == "-1 1\n" + 3 * "y\n"
    assert requests_of(one(tmp_path))["count"] == 0


def test_another_interposer_goes_on_being_called(tmp_path):
    host, users = two_libraries(tmp_path)
    front = compile_c(tmp_path / "front.so", FRONT, "-shared")
    env = environment(tmp_path)
    env["LD_PRELOAD"] = f"{LIBRARY}:{front}"
    done = subprocess.run([host, *users], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout.split("\n")[1:-1] == ["GET /i"] * 6, done
    assert routes(requests_of(one(tmp_path))) == {("GET", "/in-front", 200): 6}

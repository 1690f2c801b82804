"""push, against a server of ours that takes what Pyroscope's and Parca's documents say, word by word, and nothing else. The pprof that
arrives is read by go tool pprof."""

import base64
import email.parser
import email.policy
import http.server
import json
import re
import ssl
import struct
import subprocess
import threading
import urllib.parse

import pytest

import recording
import test_exports as exports

pytestmark = pytest.mark.untimed

snap = exports.snap  # the fixture


class Server(http.server.ThreadingHTTPServer):
    """Keeps every request; answers with the next of `answers`, (status, headers, body), then by the form's rules."""

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.answers = [], []
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass  # a client that does not trust the certificate


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers, body))
        grpc = self.headers["Content-Type"].startswith("application/grpc-web")
        trailer = b"grpc-status:0\r\n"
        ok = b"\0\0\0\0\0\x80" + struct.pack(">I", len(trailer)) + trailer if grpc else b"{}"
        status, headers, answer = self.server.answers.pop(0) if self.server.answers else (200, {}, ok)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def push(*args, check=True, **env):
    done = subprocess.run([recording.ANALYZE, "push", "--retry-wait", "1ms", *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", **env})
    assert not check or done.returncode == 0, done.stderr
    return done


def check_pprof(data, snapshot, directory, metric, column, unit=1):
    path = directory / f"{metric}.pb.gz"
    path.write_bytes(data)
    exports.compare(exports.pprof_sums(path, column), exports.wanted(snapshot, metric, unit), metric)


def fields(data):
    """A protobuf message's fields of bytes: [(number, bytes)]."""
    found, at = [], 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key, length = varint(), varint()
        assert key & 7 == 2
        found.append((key >> 3, data[at:at + length]))
        at += length
    assert at == len(data)
    return found


def test_pyroscope(snap, tmp_path):
    with Server() as server:
        told = json.loads(push(server.url + "/", snap, "--json", "--label", "zone=a-1", "-l", "pod=x/y", "--tenant", "ops").stdout)["sent"]
    assert [(s["metric"], s["status"], s["tries"]) for s in told] == [("cpu", 200, 1), ("live", 200, 1)]
    for (path, headers, body), (metric, column, unit) in zip(server.requests, (("cpu", "cpu", exports.PERIOD_NS), ("live", "inuse_space", 1)), strict=True):
        url = urllib.parse.urlsplit(path)
        query = urllib.parse.parse_qs(url.query, strict_parsing=True)
        assert url.path == "/ingest" and query["name"] == ["demo{zone=a-1,pod=x/y}"] and query["format"] == ["pprof"]
        assert int(query["until"][0]) > int(query["from"][0]) and ("sampleRate" in query) == (metric == "cpu")
        assert headers["X-Scope-OrgID"] == "ops" and "Authorization" not in headers
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        assert not message.defects
        parts = {part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True) for part in message.iter_parts()}
        assert set(parts) == {"profile", "sample_type_config"}
        check_pprof(parts["profile"], snap, tmp_path, metric, column, unit)
        config = json.loads(parts["sample_type_config"])
        columns, _, _ = exports.pprof_raw(tmp_path / f"{metric}.pb.gz")
        assert set(config) == set(columns)
        assert all(c["units"] in ("samples", "objects", "bytes") and c["aggregation"] in ("sum", "average") for c in config.values())
        if metric == "live":
            assert config["inuse_space"] == {"units": "bytes", "aggregation": "average", "display-name": "inuse_space", "sampled": False}


def test_pyroscope_push(snap, tmp_path):
    with Server() as server:
        push("--to", "pyroscope-push", server.url, snap, "--metric", "live", "--label", 'odd=a,b="c"', "--name", "shop", PROBE_PUSH_TOKEN="secret")
    (path, headers, body), = server.requests
    assert (path, headers["Content-Type"], headers["Authorization"]) == ("/push.v1.PusherService/Push", "application/json", "Bearer secret")
    (series,) = json.loads(body)["series"]
    assert {label["name"]: label["value"] for label in series["labels"]} == {"__name__": "memory", "service_name": "shop", "odd": 'a,b="c"'}
    (sample,) = series["samples"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", sample["ID"])
    check_pprof(base64.b64decode(sample["rawProfile"], validate=True), snap, tmp_path, "live", "inuse_space")


def test_parca(snap, tmp_path):
    trailer = b"grpc-status: 14\r\ngrpc-message: not yet\r\n"
    with Server() as server:
        server.answers = [(200, {"Content-Type": "application/grpc-web+proto"}, b"\x80" + struct.pack(">I", len(trailer)) + trailer)]
        told = push("--to", "parca", server.url, snap, "--metric", "cpu", "--label", "zone=a").stdout
        assert "(2 tries)" in told
        server.answers = [(200, {"grpc-status": "3", "grpc-message": "bad\x1b[2J labels"}, b"")]
        done = push("--to", "parca", server.url, snap, check=False)
        assert done.returncode == 1 and "gRPC status 3: bad" in done.stderr and "\x1b" not in done.stderr
        server.answers = [(200, {}, b"<html>hello")]
        done = push("--to", "parca", server.url, snap, check=False)
        assert done.returncode == 1 and "no gRPC-Web server" in done.stderr
    path, headers, body = server.requests[1]
    assert path == "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw" and headers["Content-Type"] == "application/grpc-web+proto"
    assert server.requests[0][2] == body and body[:1] == b"\0" and struct.unpack(">I", body[1:5]) == (len(body) - 5,)
    ((number, series),) = fields(body[5:])
    assert number == 2
    (labels, (_, sample)) = fields(series)
    found = dict(map(bytes.decode, dict(fields(label)).values()) for _, label in fields(labels[1]))
    assert found == {"__name__": "process_cpu", "service_name": "demo", "zone": "a"}
    check_pprof(dict(fields(sample))[1], snap, tmp_path, "cpu", "samples")


def test_tries_again_where_that_may_help(snap):
    with Server() as server:
        server.answers = [(503, {}, b""), (429, {"Retry-After": "0"}, b""), (500, {}, b"")]
        assert "(4 tries)" in push(server.url, snap, "--metric", "cpu").stdout
        server.answers = [(503, {}, b"full\x1b]0;\n")] * 3
        done = push(server.url, snap, "--retries", "2", check=False)
        assert (done.returncode, done.stdout) == (1, "") and re.search(r"answered 503: full.*\(3 tries\)", done.stderr) and "\x1b" not in done.stderr
        for status in (400, 401, 404, 501, 302):
            server.answers = [(status, {"Location": server.url + "/elsewhere"}, b"no")]
            done = push(server.url, snap, check=False)
            assert done.returncode == 1 and f"answered {status}: no (1 try)" in done.stderr, done.stderr
        assert not any("elsewhere" in path for path, _, _ in server.requests)
        # What came before the failure is told.
        server.answers = [(200, {}, b""), (400, {}, b"")]
        done = push(server.url, snap, check=False)
        assert done.returncode == 1 and done.stdout.startswith("sent cpu, ")
    done = push(f"http://127.0.0.1:{recording.free_port()}", snap, "--retries", "1", check=False)
    assert done.returncode == 1 and "(2 tries)" in done.stderr


def test_certificates_are_verified(snap, tmp_path):
    key, certificate, token = tmp_path / "key", tmp_path / "certificate", tmp_path / "token"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    token.write_text("from-a-file\n")
    with Server(tls=(certificate, key)) as server:
        done = push(server.url, snap, check=False)
        assert done.returncode == 1 and "certificate" in done.stderr and "(1 try)" in done.stderr and not server.requests
        push(server.url, snap, "--ca", certificate, "--token-file", token, "--metric", "cpu")
    assert server.requests[0][1]["Authorization"] == "Bearer from-a-file"


@pytest.mark.parametrize("arguments, env, words", [
    (["ftp://x"], {}, "push sends to http://"), (["http://"], {}, "names no server"), (["http://u:p@x"], {}, "no name and password"),
    (["http://x/?a"], {}, "ends before"), (["http://example.org"], {"PROBE_PUSH_TOKEN": "t"}, "not sent without TLS"),
    (["http://localhost", "--label", "a"], {}, "--label takes"), (["http://localhost", "--label", "a-b=c"], {}, "--label takes"),
    (["http://localhost", "--label", "service_name=c"], {}, "made from --name"), (["http://localhost", "--label", "a=b,c"], {}, "cannot have"),
    (["http://localhost", "-l", "a=b", "-l", "a=c"], {}, "given twice"), (["http://localhost", "--to", "parka"], {}, "parca"),
    (["http://localhost"], {"PROBE_PUSH_TOKEN": "a\nb: c"}, "control character"), (["http://localhost", "--name", "a b"], {}, "--name takes"),
])
def test_wrong_usage(snap, arguments, env, words):
    done = push(*arguments, snap, check=False, **env)
    assert (done.returncode, done.stdout) == (2, "") and words in done.stderr and done.stderr.count("\n") == 1, done.stderr

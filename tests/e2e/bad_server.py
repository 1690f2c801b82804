"""An HTTP server that misbehaves in a way that the path names, and counts what it did.

It speaks raw bytes on purpose: a library would refuse to send most of this.
"""
import itertools
import socket
import struct
import threading
import time
from collections import Counter

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MIX = ("ok", "reset", "malformed", "early_close", "ok", "half", "chunked_split", "surplus")


class BadServer:
    """`with BadServer() as s`: s.port; s.seen[kind] = requests read completely and treated so; s.bodies = bytes of bodies."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
        self.port = self.listener.getsockname()[1]
        self.seen, self.bodies, self.heads = Counter(), [], []
        self.lock = threading.Lock()
        self.turns = itertools.count()
        self.ending = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.listener.close()

    def _accept(self):
        while not self.ending.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        data = b""
        with connection:
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        more = connection.recv(65536)
                        if not more:
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
                    while len(data) < length:
                        data += connection.recv(65536)
                    body, data = data[:length], data[length:]
                    kind = head.split(b" ")[1].decode().strip("/") or "ok"
                    if kind == "mix":
                        kind = MIX[next(self.turns) % len(MIX)]
                    with self.lock:
                        self.seen[kind] += 1
                        self.bodies.append(body)
                        self.heads.append(head)
                    if not getattr(self, "_" + kind)(connection):
                        return
            except OSError:
                return

    # Each sends what its name says, and returns whether the connection goes on.
    def _ok(self, c):
        c.sendall(OK)
        return True

    def _reset(self, c):
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _reset_midway(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        time.sleep(0.02)
        return self._reset(c)

    def _never(self, c):
        self.ending.wait(20)
        return False

    def _drip(self, c):  # a byte at a time, for ever: no read is ever idle for long
        for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nX: ", itertools.repeat(97)):
            if self.ending.is_set():
                break
            c.sendall(bytes([byte]))
            time.sleep(0.01)
        return False

    def _malformed(self, c):
        c.sendall(b"HELLO this is not HTTP\r\n\r\n")
        return False

    def _bad_chunk(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        return False

    def _huge_head(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200000)
        return False

    def _surplus(self, c):
        c.sendall(OK + b"garbage")
        return False

    def _early_close(self, c):
        return False

    def _half(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
        return False

    def _until_close(self, c):
        c.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        c.sendall(b"y" * 1000)
        return False

    def _close_announced(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        return False

    def _close_unannounced(self, c):  # the close arrives with the response, before a further request
        c.sendall(OK)
        return False

    def _interim(self, c):
        c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)
        return True

    def _no_content(self, c):
        c.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        return True

    def _head_only(self, c):  # the answer to a HEAD
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        return True

    def _chunked_split(self, c):
        for piece in (b"HTTP/1.1 200 OK\r\nTransfer-Enc", b"oding: chunked\r", b"\n\r\n5;", b"ext=1\r\nhel", b"lo\r", b"\n0\r\nTrailer: x\r\n", b"\r\n"):
            c.sendall(piece)
            time.sleep(0.001)
        return True

    def _big(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"z" * 3000000)
        return True

    def _big_chunked(self, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"30d40\r\n" + b"z" * 200000 + b"\r\n") * 5 + b"0\r\n\r\n")
        return True

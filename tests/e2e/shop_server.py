"""A shop with the endpoints that the plans of tests/plans ask for. It keeps its own books: requests by endpoint, what was asked without
a token, connections, and what came with the requests. HTTP/1.1, keep-alive, one thread and an event loop of its own."""
import asyncio
import json
import re
import threading
from collections import Counter

ROUTES = [("POST", r"/api/auth/login", "login"), ("GET", r"/api/products", "products"), ("GET", r"/api/products/p-\d+", "product"),
          ("POST", r"/api/orders", "orders"), ("POST", r"/api/orders/\d+/items", "items"), ("POST", r"/api/orders/\d+/confirm", "confirm"),
          ("GET", r"/api/admin/dashboard", "dashboard"), ("GET", r"/api/admin/analytics", "analytics"), ("GET", r"/health", "health"),
          ("GET", r"/api/health", "api health"), ("GET", r"/moved", "moved"), ("GET", r"/cookie", "cookie")]
PASSWORDS = {"user1@test.com": "password123", "user2@test.com": "password123", "user3@test.com": "password123",
             "admin@test.com": "admin123", "test@example.com": "password123"}


class ShopServer:
    def __init__(self, passwords=PASSWORDS):
        self.passwords, self.counts, self.statuses = dict(passwords), Counter(), Counter()
        self.connections, self.orders, self.logins, self.cookies, self.quantities = 0, 0, Counter(), Counter(), Counter()
        self.content_types, self.loop, ready = Counter(), asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        server.close()
        self.loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                method, target, _ = lines[0].split(" ")
                fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:] if line)}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, answer, more = self._answer(method, target, fields, body)
                self.statuses[status] += 1
                text = json.dumps(answer).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method, target, fields, body):
        name = next((n for m, pattern, n in ROUTES if m == method and re.fullmatch(pattern, target)), None)
        self.counts[name or f"{method} {target}"] += 1
        if not name:
            return 404, {}, ""
        if name == "login":
            login = json.loads(body)
            self.content_types[fields.get("content-type")] += 1
            self.logins[login["email"]] += 1
            if self.passwords.get(login["email"]) != login["password"]:
                return 401, {}, ""
            return 200, {"token": f"token-of-{login['email']}"}, ""
        if name in ("health", "api health"):
            return 200, {}, ""
        if name == "moved":
            return 302, {}, "Location: /health\r\n"
        if name == "cookie":
            self.cookies[fields.get("cookie")] += 1
            return 200, {}, "Set-Cookie: a=1; Path=/; HttpOnly\r\n"
        if not fields.get("authorization", "").startswith("Bearer token-of-"):
            return 401, {}, ""
        if name == "products":
            return 200, {"data": [{"id": "p-1"}, {"id": "p-2"}]}, ""
        if name == "orders":
            self.orders += 1
            return 201, {"id": self.orders}, ""
        if name == "items":
            item = json.loads(body)
            self.quantities[item["quantity"]] += 1
            return (201 if item["productId"] == "p-1" else 400), {}, ""
        return 200, {}, ""

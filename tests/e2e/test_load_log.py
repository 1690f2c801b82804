"""Every attempt of probe-load is a line in the server's log, also where the server resets, hangs or refuses. The number of
attempts is PERFPROBE_LOAD_REQUESTS (60000; a million takes minutes)."""
import os
import shutil
import socket
import subprocess
from collections import Counter

import pytest

from test_load import answers, check_sums, errors, results, wait_until

REQUESTS = int(os.environ.get("PERFPROBE_LOAD_REQUESTS", "60000"))


@pytest.fixture(scope="module")
def fickle(tmp_path_factory):
    """nginx that treats a request by chance: 200, 503, a reset, or an upstream that never answers."""
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed (scripts/setup installs it)")
    home = tmp_path_factory.mktemp("fickle")
    hole = socket.create_server(("127.0.0.1", 0), backlog=1024)  # takes connections, and never answers
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    temp = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
        events {{ worker_connections 1024; }}
        http {{ log_format short '$status $kind'; access_log {home}/access.log short buffer=64k flush=1s; {temp} keepalive_requests 1000;
          reset_timedout_connection on; proxy_read_timeout 30s;
          split_clients "$request_id" $kind {{ 2% busy; 2% reset; 0.05% hang; * ok; }}
          server {{ listen 127.0.0.1:{port};
            location / {{ if ($kind = busy) {{ return 503; }} if ($kind = reset) {{ return 444; }}
              if ($kind = hang) {{ proxy_pass http://127.0.0.1:{hole.getsockname()[1]}; }}
              if ($kind = ok) {{ return 200 "fine"; }} }} }} }}""")
    server = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
    wait_until(lambda: answers(port))
    yield f"http://127.0.0.1:{port}/", home / "access.log"
    server.terminate()
    server.wait(10)
    hole.close()


@pytest.mark.parametrize("model", [["-c", "50", "-t", "2"], ["-c", "200", "-t", "1", "-r", str(REQUESTS / 8)]])
def test_every_attempt_is_in_the_log(fickle, model):
    url, log = fickle
    log.write_text("")
    r = results(url, "-n", REQUESTS, "--timeout", "500ms", *model, timeout=900)
    wait_until(lambda: len(log.read_text().splitlines()) >= REQUESTS, 20)
    lines = Counter(tuple(line.split()) for line in log.read_text().splitlines())
    assert check_sums(r) == REQUESTS == sum(lines.values())
    assert r["status"] == {"200": lines["200", "ok"], "503": lines["503", "busy"]}
    assert errors(r) == {"reset": lines["444", "reset"], "timeout": lines["499", "hang"]}
    assert r["reconnects"] + r["connections_opened"] > 0 and min(lines.values()) > 0

"""A small leak in a server that answers requests all the while: named, confirmed, and no request fails."""
import json
import re
import subprocess
import urllib.request

from leaks_judge import ask, newest
from recording import BUILD, Running, analyze, wait_until


def test_a_block_in_a_thousand_requests(tmp_path):
    """48 bytes each; asked three times under load. What is found is between what was lost before and after the check."""
    with Running(tmp_path, [BUILD / "bin" / "sample_server", "--seconds", "60"], heap="full", cpu=0) as server:
        wait_until(lambda: "listening on" in server.output(), what="the server")
        url = "http://" + re.search(r"listening on (\S+)", server.output())[1]

        def lost():
            with urllib.request.urlopen(url + "/stats", timeout=10) as answer:
                return json.load(answer)["leaked_blocks"]

        load = subprocess.Popen([BUILD / "bin" / "probe-load", url + "/leak?bytes=48&every=1000", "-c", "8", "-t", "1", "-d", "10s", "--json"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for wanted in (3, 30, 60):
                wait_until(lambda: lost() >= wanted, seconds=30, what=f"{wanted} blocks to be lost")
                before = lost()
                assert load.poll() is None
                ask(server.process.pid)
                after = lost()
                found = json.loads(analyze("leaks", "--json", newest(tmp_path, server.process.pid, "leaks")).stdout)
                assert {f for row in found["leaks"] for f in row["frames"][:1]} == {"leak_session_record"}, found["leaks"]
                blocks = sum(row["blocks"] for row in found["leaks"])
                assert before <= blocks <= after and found["leaked_bytes"] == 48 * blocks
                # Confirmed is what the first of the two checks had seen: at least what was lost before either.
                assert sum(row["confirmed_blocks"] for row in found["leaks"]) >= before
                assert all(row["kind"] == "direct" for row in found["leaks"])
            out, err = load.communicate(timeout=30)
        finally:
            load.kill()
            load.wait()
        assert load.returncode == 0, err
        result = json.loads(out)
        assert sum(result["errors"].values()) == 0 and result["metrics"]["http_reqs"]["count"] > 1000 * wanted


def test_growth_for_each_request(tmp_path):
    """A table that is never emptied, 1000 bytes a request: reachable, so a suspect, and by request as well as by minute."""
    with Running(tmp_path, [BUILD / "bin" / "sample_server", "--seconds", "60"], heap="full", cpu=0) as server:
        wait_until(lambda: "listening on" in server.output(), what="the server")
        url = "http://" + re.search(r"listening on (\S+)", server.output())[1]
        for _ in range(4):
            subprocess.run([BUILD / "bin" / "probe-load", url + "/cache?bytes=1000", "-n", "2000", "-c", "4", "-t", "1"], check=True, capture_output=True,
                           timeout=60)
            subprocess.run([BUILD / "bin" / "perfprobe", "snapshot", str(server.process.pid)], check=True, capture_output=True, timeout=20)
    taken = sorted(tmp_path.glob("*.request.snap"))
    found = json.loads(analyze("leaks", "--json", *taken).stdout)["suspects"]
    (suspect,) = [s for s in found if s["frames"][0] == "cache_insert"]
    # The slope is the median of the slopes between any two snapshots; their rates differ a little, requests do not.
    assert 900 < suspect["bytes_per_request"] < 1100, suspect
    text = analyze("leaks", *taken).stdout
    assert re.search(r"suspect: .* a minute .*, [0-9.,]+ (B|KiB) a request$", text, re.M), text

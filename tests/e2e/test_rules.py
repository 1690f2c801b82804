"""Every unwind rule of whole programs and libraries (tests/rules/scan.c): what eh_frame.c decodes finds the same as what libdw
decodes, or is in the scan's table of what a rule cannot say, with its reason. ctest has the libraries of the system looked at."""

import glob
import json
import os
import shutil
import subprocess

import pytest

from recording import BUILD, LIBRARY, VICTIMS

pytestmark = pytest.mark.untimed

SCAN = BUILD / "tests" / "rule_scan"


def only(pattern):
    found = sorted(glob.glob(pattern))
    return found[0] if found else None


LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
# What must be there, and how many rows at least: a scan that saw next to nothing says nothing.
OBJECTS = {
    "[vdso]": 10,
    LIBRARIES + "libc.so.6": 20000,
    LIBRARIES + "ld-linux-x86-64.so.2": 1000,
    LIBRARIES + "libgcc_s.so.1": 500,
    LIBRARIES + "libstdc++.so.6": 20000,
    LIBRARIES + "libcrypto.so.3": 50000,
    LIBRARIES + "libssl.so.3": 5000,
    LIBRARIES + "libgcrypt.so.20": 10000,
    "/usr/bin/python3": 30000,
    "/usr/bin/openssl": 5000,
    shutil.which("node"): 100000,
    shutil.which("redis-server"): 20000,
    shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin"): 10000,
    only("/usr/lib/postgresql/*/bin/postgres"): 50000,
    str(LIBRARY): 5000,
    str(VICTIMS / "victim_virtuals"): 10,
    str(VICTIMS / "victim_rust_threads"): 2000,
}
JAVA = sorted({os.path.realpath(f) for f in glob.glob("/usr/lib/jvm/*/lib/server/libjvm.so")})  # if there is one


def share(result, verdict):
    return 100 * result[verdict]["bytes"] / result["all"]["bytes"]


def test_every_row():
    if not SCAN.exists():
        pytest.fail(f"{SCAN} is not built")
    assert None not in OBJECTS, "not installed: node, redis-server, nginx or postgres (scripts/setup test)"
    done = subprocess.run([SCAN, "--json", "--every-byte", *OBJECTS, *JAVA], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"{'object':54}{'FDEs':>8}{'rows':>8}{'bytes':>10}  no frame pointer         no rule")
    for r in results:
        print(f"{r['object'][-52:]:54}{r['fdes']:>8}{r['all']['rows']:>8}{r['all']['bytes']:>10}"
              f"{r['no frame pointer']['rows']:>7} ({share(r, 'no frame pointer'):.4f} %)"
              f"{r['no rule']['rows']:>7} ({share(r, 'no rule'):.4f} %)")
    bad = [(r["object"], n) for r in results for n in r["notes"] if not n["known"]]
    assert bad == [] and done.returncode == 0, f"{bad}\n{done.stderr}"
    rows = {r["object"]: r["all"]["rows"] for r in results}
    few = {name: rows.get(name) for name, least in OBJECTS.items() if rows.get(name, 0) < least}
    assert few == {}, few
    for r in results:
        assert r["equal"]["rows"] >= 0.99 * r["all"]["rows"], r
        # each FDE is found by the index, or the index has none for it because its code is gone
        assert r["fdes"] + r["outside"] >= r["index"], r

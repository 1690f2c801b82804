#!/usr/bin/env python3
"""The launcher as a user meets it: what it hands to the program, how it fails, and its side of the control protocol.

usage: test_launcher.py PERFPROBE FAKE_LIBRARY      (registered with ctest; standard library only)
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

PERFPROBE, LIBRARY = sys.argv[1:3]
OPTIONS_DEF = os.path.join(os.path.dirname(__file__), "..", "..", "preload", "options.def")


def run(*args, env=None, **kwargs):
    full = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("PERFPROBE_")}
    full["PERFPROBE_LIB"] = LIBRARY
    full["ASAN_OPTIONS"] = "verify_asan_link_order=0"  # preset asan: what is preloaded here allocates nothing
    for key, value in (env or {}).items():
        if value is None:
            full.pop(key, None)
        else:
            full[key] = value
    return subprocess.run([PERFPROBE, *args], env=full, capture_output=True, text=True, errors="replace", timeout=30,
                          stdin=subprocess.DEVNULL, **kwargs)


def options():
    with open(OPTIONS_DEF) as table:
        return re.findall(r"^OPTION\((\w+), *\w+, *(\w+),", table.read(), re.M)


def words_of(kind):
    with open(os.path.join(os.path.dirname(OPTIONS_DEF), "option_words.def")) as table:
        return re.findall(rf'^OPTION_WORD\({kind}, *"(\w+)"', table.read(), re.M)


def environment_of(result):
    return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)


class Run(unittest.TestCase):
    def test_preloads_the_library_and_hides_its_own_variable(self):
        r = run("run", "--", "env")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertEqual(environment_of(r)["LD_PRELOAD"], os.path.realpath(LIBRARY))
        self.assertNotIn("PERFPROBE_LIB", environment_of(r))

    def test_keeps_what_was_preloaded_behind_it(self):
        other = os.path.join(tempfile.mkdtemp(), "other.so")
        shutil.copy(LIBRARY, other)
        r = run("run", "env", env={"LD_PRELOAD": other})
        self.assertEqual(environment_of(r)["LD_PRELOAD"], os.path.realpath(LIBRARY) + ":" + other)
        shutil.rmtree(os.path.dirname(other))

    def test_every_option_has_a_flag(self):
        names = options()
        self.assertGreater(len(names), 15)
        for name, kind in names:
            flag = "--" + name.lower().replace("_", "-")
            for value in words_of(kind) or {"COUNT": ["7"], "BYTES": ["64k"], "DURATION": ["10s", "off"]}.get(kind, ["some value"]):
                for spelling in ([flag, value], [flag + "=" + value]):
                    r = run("run", *spelling, "--", "env")
                    self.assertEqual(environment_of(r).get("PERFPROBE_" + name), value, (flag, r.stderr))

    def test_a_value_that_cannot_be_is_refused_before_the_program_starts(self):
        for name, kind in options():
            if kind in ("PATH", "WORD", "LIMIT", "RATE", "PERCENT", "SIGNAL"):  # nearly anything; the library judges
                continue
            flag = "--" + name.lower().replace("_", "-")
            for words, subject in ((["run", flag, "nonsense", "--", "env"], flag),
                                   (["set", "1", f"{name}=nonsense"], "PERFPROBE_" + name)):
                r = run(*words)
                self.assertEqual((r.returncode, r.stdout, r.stderr.count("\n")), (2, "", 1), words)
                self.assertTrue(r.stderr.startswith(f"perfprobe: {subject} takes "), r.stderr)

    def test_did_you_mean(self):
        for words, hint in ((["run", "--heep", "full", "--", "true"], "--heap"), (["run", "--heap", "ful", "--", "true"], "'full'"),
                            (["set", "1", "HAEP=full"], "HEAP"), (["snapsot", "1"], "'snapshot'"), (["help", "rum"], "'run'"),
                            (["run", "-heap", "full", "--", "true"], "--heap")):
            r = run(*words)
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertTrue(r.stderr.endswith(f"did you mean {hint}?\n"), r.stderr)

    def test_the_programs_own_options_are_its_own(self):
        for words in (["echo", "--cpu", "-n", "--"], ["--", "echo", "--cpu", "-n", "--"]):
            r = run("run", "--heap", "full", *words)
            self.assertEqual((r.returncode, r.stdout), (0, "--cpu -n --\n"), r.stderr)

    def test_becomes_the_program(self):
        self.assertEqual(run("run", "--", "sh", "-c", "exit 42").returncode, 42)
        self.assertEqual(run("run", "--", "sh", "-c", "kill -TERM $$").returncode, -15)

    def test_status_of_what_cannot_run(self):
        r = run("run", "--", "no-such-program-anywhere")
        self.assertEqual(r.returncode, 127)
        self.assertEqual(r.stderr, "perfprobe: no-such-program-anywhere: command not found\n")
        r = run("run", "--", "/etc/passwd")
        self.assertEqual(r.returncode, 126)
        self.assertEqual(r.stderr, "perfprobe: /etc/passwd: Permission denied\n")

    def test_wrong_use(self):
        for words in ([], ["run"], ["run", "--"], ["run", "--nonsense", "1", "--", "true"], ["nonsense"], ["list", "1"],
                      ["snapshot"], ["snapshot", "x"], ["snapshot", "0"], ["set", "1", "x"], ["set", "1", "NOPE=1"]):
            r = run(*words)
            self.assertEqual(r.returncode, 2, words)
            self.assertEqual(r.stdout, "", words)
            if words:
                self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_a_missing_library_is_told(self):
        r = run("run", "--", "true", env={"PERFPROBE_LIB": "/nowhere/libperfprobe.so"})
        self.assertEqual(r.returncode, 1)
        self.assertIn("PERFPROBE_LIB=/nowhere/libperfprobe.so: No such file", r.stderr)

    def test_a_path_that_ld_preload_cannot_hold(self):
        with tempfile.TemporaryDirectory(prefix="with blank ") as where:
            r = run("run", "--", "true", env={"PERFPROBE_LIB": shutil.copy(LIBRARY, where)})
        self.assertEqual(r.returncode, 1)
        self.assertIn("blank or a colon", r.stderr)

    def test_finds_the_library_beside_itself(self):
        with tempfile.TemporaryDirectory() as where:
            os.makedirs(where + "/bin")
            os.makedirs(where + "/lib")
            shutil.copy(PERFPROBE, where + "/bin/perfprobe")
            shutil.copy(LIBRARY, where + "/lib/libperfprobe.so")
            r = subprocess.run([where + "/bin/perfprobe", "run", "--", "env"], capture_output=True, text=True,
                               env={"PATH": os.environ["PATH"]}, timeout=30)
            self.assertEqual(environment_of(r).get("LD_PRELOAD"), os.path.realpath(where + "/lib/libperfprobe.so"),
                             r.stderr)

    def test_help_and_version(self):
        for words in (["--help"], ["-h"], ["run", "--help"], ["snapshot", "--help"], ["--version"]):
            r = run(*words)
            self.assertEqual((r.returncode, r.stderr), (0, ""), words)
            self.assertTrue(r.stdout)

    def test_a_full_disk_is_a_failure(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            r = subprocess.run([PERFPROBE, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
        self.assertEqual(r.returncode, 1)
        self.assertIn("cannot write the result", r.stderr)


class List(unittest.TestCase):
    def test_shows_a_process_that_maps_the_library(self):
        with tempfile.TemporaryDirectory() as where:
            library = shutil.copy(LIBRARY, where + "/libperfprobe.so")
            child = subprocess.Popen(["sh", "-c", "echo ready; read line"], env={"LD_PRELOAD": library},
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                child.stdout.readline()
                r = run("list")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertRegex(r.stdout.splitlines()[0], r"^ +PID +UID +CONTROL +COMMAND$")
                self.assertRegex(r.stdout, rf"(?m)^ *{child.pid} +{os.getuid()} +no +sh -c .*$")
                r = run("snapshot", str(child.pid))
                self.assertEqual(r.returncode, 1)
                self.assertIn("offers no control socket", r.stderr)
            finally:
                child.kill()
                child.wait()
                child.stdout.close()
            r = run("list")
            self.assertNotRegex(r.stdout, rf"(?m)^ *{child.pid} ")

    def test_a_process_that_is_not_ours_or_not_there(self):
        child = subprocess.Popen(["sleep", "60"])
        try:
            r = run("snapshot", str(child.pid))
            self.assertEqual(r.returncode, 1)
            self.assertIn("does not run under perfprobe", r.stderr)
        finally:
            child.kill()
            child.wait()
        r = run("status", str(child.pid))
        self.assertEqual((r.returncode, r.stderr), (1, f"perfprobe: there is no process {child.pid}\n"))


class Control(unittest.TestCase):
    """This process plays a profiled one: it has a pid, and so a socket of its own."""

    def setUp(self):
        self.dir = f"/tmp/perfprobe-{os.geteuid()}"
        self.path = f"{self.dir}/{os.getpid()}.sock"
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(20)

    def tearDown(self):
        self.listener.close()
        os.unlink(self.path)

    def ask(self, *words, answer):
        got = []

        def serve():
            peer, _ = self.listener.accept()
            with peer:
                peer.settimeout(20)
                while not b"".join(got).endswith(b"\n"):
                    got.append(peer.recv(100))
                for part in answer:
                    try:
                        peer.sendall(part)
                    except BrokenPipeError:
                        pass  # it would not hear the end

        server = threading.Thread(target=serve)
        server.start()
        r = run(*words)
        server.join()
        return b"".join(got).decode(), r

    def test_requests(self):
        pid = str(os.getpid())
        for words, line in ((["snapshot", pid], "snapshot\n"), (["leaks", pid], "leaks\n"), (["start", pid], "start\n"),
                            (["stop", pid], "stop\n"), (["status", pid], "status\n"),
                            (["set", pid, "CPU=999"], "set CPU=999\n"),
                            (["set", pid, "PERFPROBE_HEAP=full"], "set HEAP=full\n")):
            got, r = self.ask(*words, answer=[b"ok\n"])
            self.assertEqual((got, r.returncode, r.stdout, r.stderr), (line, 0, "", ""))

    def test_answers(self):
        pid = str(os.getpid())
        for parts, code, out, err in (
                ([b"ok /tmp/a.snap\n"], 0, "/tmp/a.snap\n", ""),
                ([b"o", b"k 1", b"\ntwo\nthree\n"], 0, "1\ntwo\nthree\n", ""),
                ([b"ok\ntwo\n"], 0, "two\n", ""),
                ([b"ok " + b"x" * 100000 + b"\n"], 0, "x" * 100000 + "\n", ""),
                ([b"error the heap is not recorded\n"], 1, "",
                 f"perfprobe: process {pid}: the heap is not recorded\n"),
                ([b"ok \x1b]0;title\x07 \xc2\x9b\r\tx\n\x00y\n"], 0, "?]0;title? ????x\n?y\n", ""),
                ([b"error \x1b[2J\n"], 1, "", f"perfprobe: process {pid}: ?[2J\n"),
                ([b"ok " + b"x" * (3 << 20)], 1, "", f"perfprobe: process {pid}: the answer has no end\n"),
                ([b"okay\n"], 1, "", f"perfprobe: process {pid}: the answer is not understood: 'okay'\n"),
                ([b""], 1, "", f"perfprobe: process {pid}: the answer is not understood: ''\n")):
            _, r = self.ask("status", pid, answer=parts)
            self.assertEqual((r.returncode, r.stdout, r.stderr), (code, out, err))

    def test_another_process_listens(self):
        """Whatever stands at the name: the kernel knows who made it."""
        self.listener.close()
        os.unlink(self.path)
        other = subprocess.Popen([sys.executable, "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n"
                                  "print('ready', flush=True)\nwhile True:\n  try: s.accept()[0].sendall(b'ok /tmp/forged\\n')\n  except OSError: pass", self.path],
                                 stdout=subprocess.PIPE)
        try:
            other.stdout.readline()
            r = run("snapshot", str(os.getpid()))
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn("does not run under perfprobe", r.stderr)
        finally:
            other.kill()
            other.wait()
            other.stdout.close()

    def test_a_directory_that_others_may_use(self):
        os.chmod(self.dir, 0o755)
        try:
            r = run("snapshot", str(os.getpid()))
        finally:
            os.chmod(self.dir, 0o700)
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("alone; not trusted", r.stderr)

    def test_nobody_listens(self):
        self.listener.close()
        r = run("status", str(os.getpid()))
        self.assertEqual(r.returncode, 1)
        self.assertIn("Connection refused", r.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
"""Completion as bash, zsh and fish do it: each shell loads the scripts that the programs print and is asked for candidates.

usage: test_completion.py DIRECTORY_OF_PROGRAMS BUILD_DIRECTORY FAKE_LIBRARY CMAKE     (registered with ctest)

bash: the function of `complete -F`, with COMP_WORDS split as readline splits them; and once with the Tab key. zsh: a widget in an
interactive shell, compadd overheard. fish: `complete -C`. Which options there are is read from --help."""
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN, BUILD, FAKE, CMAKE = (os.path.abspath(a) if os.path.sep in a else a for a in sys.argv[1:5])
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ("perfprobe", "probe-analyze", "probe-load")
SHELLS = ("bash", "zsh", "fish")
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "BASH_ENV", "ENV") and not k.startswith("PERFPROBE_")}
    env.update(PATH=BIN + ":/usr/bin:/bin", LC_ALL="C.UTF-8", TERM="dumb", HOME=more.get("HOME", "/nonexistent"))
    env.update(more)
    return env


def output(*words, code=0):
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (words, done.returncode, done.stderr)
    return done.stdout


def commands_of(program):
    block = re.search(r"^commands:\n((?:  .*\n)+)", output(program, "--help"), re.M)
    return re.findall(r"^  ([a-z]\S*)", block.group(1), re.M) if block else [""]


def options_of(program, command):
    text = output(program, *filter(None, [command]), "--help")
    return re.findall(r"^ {2,6}(?:-\w, )?(--[a-z][\w-]*)", text, re.M)


def readline_words(line):
    """As readline parts a line for COMP_WORDS: at blanks, and around = and :, which are words by themselves."""
    return re.findall(r"(?:\\.|[^\s=:])+|[=:]+", line) + ([""] if line[-1:].isspace() else [])


def ask_bash(lines, where):
    """{line: candidates}. What readline would put in: the whole word, or what follows its last = or :."""
    script = f"source {BASH_COMPLETION}\n" if os.path.exists(BASH_COMPLETION) else ""
    script += "".join(f"source <({p} completion bash)\n" for p in PROGRAMS)
    script += "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'\n"
    for line in lines:
        words = readline_words(line)
        script += f"""COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_CWORD={len(words) - 1}
COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMPREPLY=()
entry=$(complete -p {words[0]}); entry=${{entry#*-F }}
${{entry%% *}} {words[0]}
printf '>%s\\n' {shlex.quote(line)}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "--norc", "-O", "extglob", "-c", script], cwd=where, env=environment(), capture_output=True,
                          text=True, timeout=100, stdin=subprocess.DEVNULL)
    answers = sections(done.stdout)
    for line, found in answers.items():
        head = re.match(r".*[=:]", line.split(" ")[-1])
        answers[line] = {(head.group() if head else "") + f for f in found}
    assert set(answers) == set(lines), done.stderr
    return answers


def ask_fish(lines, where):
    script = "".join(f"{p} completion fish | source\n" for p in PROGRAMS)
    for line in lines:
        script += f"echo '>'{shlex.quote(line)}\ncomplete -C {shlex.quote(line)}\n"
    done = subprocess.run(["fish", "--no-config", "-c", script], cwd=where, env=environment(HOME=where), capture_output=True,
                          text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return {line: {f.split("\t")[0] for f in found} for line, found in sections(done.stdout).items()}


def sections(text):
    answers, now = {}, None
    for line in text.splitlines():
        if line.startswith(">"):
            now = answers.setdefault(line[1:], set())
        elif line and now is not None:
            now.add(line)
    return answers


class Terminal:
    """An interactive program on a pseudo terminal; everything it prints is read and kept."""

    def __init__(self, words, where, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(where)
            os.execvpe(words[0], words, environment(HOME=where, **env))
        self.text = ""

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait(self, condition, what):
        end = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < end, f"{what} did not come; the terminal has: {self.text[-2000:]!r}"
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # it ended
                    assert condition(), f"{what} did not come; the terminal has: {self.text[-2000:]!r}"

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


def ask_zsh(lines, where):
    with tempfile.TemporaryDirectory() as place:
        answers = place + "/answers"
        with open(place + "/cases", "w") as f:
            f.write("\n".join(lines) + "\n")
        t = Terminal(["zsh", "-f", "-i"], where, CASES=place + "/cases", ANSWERS=answers)
        try:
            t.send(f"source {HERE}/capture.zsh\n")
            t.wait(lambda: os.path.exists(answers + ".ready"), "the loading of capture.zsh")
            t.send("\x18")
            t.wait(lambda: read(answers).endswith("\ndone\n"), "the end of the answers")
        finally:
            t.close()
        return sections(read(answers).removesuffix("done\n"))


ASK = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}

# line, what must be offered, what must not be. Names of files are those that setUpClass makes.
CASES = [
    ("perfprobe ", {"run", "list", "snapshot", "set", "status", "completion", "help"}, {"--heap", "a.snap"}),
    ("perfprobe s", {"snapshot", "start", "stop", "set", "status"}, {"run", "list"}),
    ("perfprobe --", {"--help", "--version"}, {"run"}),
    ("perfprobe run --heap ", {"full", "sampled", "off"}, {"on", "a.snap"}),
    ("perfprobe run --heap=f", {"--heap=full"}, {"--heap=off"}),
    ("perfprobe run --unwind ", {"auto", "cfi", "fp", "libunwind"}, {"a.snap"}),
    ("perfprobe run --follow ", {"fork", "exec", "both", "none"}, {"a.snap"}),
    ("perfprobe run --live o", {"on", "off"}, {"other.txt"}),
    ("perfprobe run --dir ", {"sub/"}, {"a.snap", "other.txt"}),
    ("perfprobe run --cpu ", set(), {"a.snap", "run", "--heap"}),
    ("perfprobe run --heap full --he", {"--heap-interval", "--help"}, {"--heap"}),
    ("perfprobe run -- probe-an", {"probe-analyze"}, {"run"}),
    ("perfprobe run --heap full probe-an", {"probe-analyze"}, {"run"}),
    ("perfprobe run -- probe-analyze rep", {"report"}, {"run"}),
    ("perfprobe set 1 ", {"DIR=", "EVERY=", "FREE_STACKS=on"}, {"CPU=", "HEAP=full"}),  # only what may be set
    ("perfprobe set 1 FREE", {"FREE_STACKS=on", "FREE_STACKS=off"}, {"EVERY="}),
    ("perfprobe set 1 FREE_STACKS=of", {"FREE_STACKS=off"}, {"FREE_STACKS=on"}),
    ("perfprobe completion ", {"bash", "zsh", "fish"}, {"a.snap"}),
    ("perfprobe help sn", {"snapshot"}, {"run"}),
    ("probe-analyze re", {"report"}, {"info", "perfprobe"}),
    ("probe-analyze report --metric ", {"cpu", "live", "live-count", "slop", "mmap"}, {"a.snap"}),
    ("probe-analyze report -m al", {"alloc", "alloc-count"}, {"cpu"}),
    ("probe-analyze report --by ", {"stack", "thread"}, {"a.snap"}),
    ("probe-analyze report --by=t", {"--by=thread"}, {"--by=stack"}),
    ("probe-analyze export --format ", {"cpuprofile", "speedscope", "folded", "json"}, {"a.snap", "text"}),
    ("probe-analyze diff --format ", {"text", "json", "folded", "flamegraph"}, {"cpuprofile"}),
    ("probe-analyze report ", {"a.snap", "b.live", "sub/"}, {"other.txt", "plan.js"}),
    ("probe-analyze report sub/", {"sub/deep.snap"}, {"sub/deep.txt"}),
    ("probe-analyze diff a.snap ", {"a.snap", "b.live"}, {"other.txt"}),
    ("probe-analyze diff a.snap b.live -", {"--metric", "--json"}, {"a.snap"}),
    ("probe-analyze report --json ", {"a.snap", "b.live"}, {"other.txt"}),
    ("probe-analyze report -o ", {"a.snap", "other.txt", "sub/"}, set()),
    ("probe-analyze report --output=o", {"--output=other.txt"}, {"--output=a.snap"}),
    ("probe-analyze leaks a.snap b.live a", {"a.snap"}, {"other.txt"}),
    ("probe-analyze report --jsn --", {"--by", "--metric"}, set()),
    ("probe-analyze nonsense ", set(), {"a.snap", "--json"}),
    ("probe-load ", {"http://", "help", "completion", "run", "lint"}, {"a.snap", "search"}),
    ("probe-load run --ti", {"--time-scale", "--timeout"}, {"--target"}),
    ("probe-load lint --", {"--json", "--target"}, {"--time-scale", "--connections"}),
    ("probe-load h", {"http://", "help"}, {"completion"}),
    ("probe-load help ", {"completion", "help", "run", "lint"}, {"http://", "bash"}),
    ("probe-load completion ", {"bash", "zsh", "fish"}, {"http://"}),
    ("probe-load -c 4 ", {"http://"}, {"help"}),
    ("probe-load --preset s", {"smoke", "stress", "spike"}, {"load"}),
    ("probe-load -m ", {"GET", "POST", "DELETE"}, {"a.snap"}),
    ("probe-load --out ", {"json="}, {"other.txt"}),
    ("probe-load --out json=o", {"json=other.txt"}, {"json=a.snap"}),
    ("probe-load --body @o", {"@other.txt"}, {"@a.snap"}),
    ("probe-load --summary-export o", {"other.txt"}, {"a.snap"}),
    ("probe-load -c ", set(), {"a.snap", "http://"}),
    ("probe-load http://a/ -d 10s --timeo", {"--timeout"}, {"--out"}),
]


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.where = tempfile.mkdtemp()
        os.mkdir(cls.where + "/sub")
        for name in ("a.snap", "b.live", "other.txt", "plan.js", "sub/deep.snap", "sub/deep.txt", "with blank.snap"):
            open(f"{cls.where}/{name}", "w").close()
        library = shutil.copy(FAKE, cls.where + "/sub/libperfprobe.so")
        cls.victim = subprocess.Popen(["sh", "-c", "echo ready; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      env=environment(LD_PRELOAD=library, ASAN_OPTIONS="verify_asan_link_order=0"))
        cls.victim.stdout.readline()
        pid = str(cls.victim.pid)
        cls.cases = CASES + [(f"perfprobe {c} ", {pid}, {"a.snap"}) for c in ("snapshot", "leaks", "start", "stop", "set", "status")]
        cls.options = {(p, c): options_of(p, c) for p in PROGRAMS for c in commands_of(p)}
        lines = [c[0] for c in cls.cases] + [cls.option_line(p, c) for p, c in cls.options] + ["probe-analyze info with\\ b"]
        cls.answers = {s: ASK[s](lines, cls.where) for s in SHELLS if shutil.which(s)}

    @classmethod
    def tearDownClass(cls):
        cls.victim.kill()
        cls.victim.wait()
        cls.victim.stdin.close()
        cls.victim.stdout.close()
        shutil.rmtree(cls.where)

    @staticmethod
    def option_line(program, command):
        return " ".join(filter(None, [program, command])) + " --"

    def answer(self, shell, line):
        if shell not in self.answers:
            self.skipTest(f"{shell} is not installed")
        return self.answers[shell][line]

    def check_cases(self, shell):
        for line, wanted, unwanted in self.cases:
            found = {f.rstrip(" ") for f in self.answer(shell, line)}
            # directories: readline and zsh put the stroke behind them when they show them
            bare = {f.rstrip("/") for f in found}
            with self.subTest(shell=shell, line=line):
                self.assertLessEqual({w.rstrip("/") if w != "http://" else "http:" for w in wanted}, bare, found)
                self.assertFalse(unwanted & found, found)

    def check_options(self, shell):
        self.assertGreater(sum(map(len, self.options.values())), 60)
        for (program, command), options in self.options.items():
            with self.subTest(shell=shell, program=program, command=command):
                self.assertEqual(set(options) | {"--help"}, self.answer(shell, self.option_line(program, command)))

    def test_positions_bash(self):
        self.check_cases("bash")

    def test_positions_zsh(self):
        self.check_cases("zsh")

    def test_positions_fish(self):
        self.check_cases("fish")

    def test_every_option_bash(self):
        self.check_options("bash")

    def test_every_option_zsh(self):
        self.check_options("zsh")

    def test_every_option_fish(self):
        self.check_options("fish")

    def test_names_with_blanks(self):
        for shell in self.answers:
            found = {f.replace("\\", "") for f in self.answer(shell, "probe-analyze info with\\ b")}
            self.assertEqual(found, {"with blank.snap"}, shell)

    def test_the_tab_key(self):
        """That readline parts words as readline_words() says, and puts in what is returned, no more and no less."""
        t = Terminal(["bash", "--norc", "--noprofile", "-i"], self.where, PS1="$ ")
        try:
            t.send("".join(f"source <({p} completion bash); " for p in PROGRAMS) + "echo load''ed\n")
            t.wait(lambda: "loaded" in t.text, "the loading")
            for typed, becomes in (("probe-analyze repo\t", "[probe-analyze] [report] "),
                                   ("probe-analyze export --format=cpu\t", "[probe-analyze] [export] [--format=cpuprofile] "),
                                   ("probe-analyze report with\t", "[probe-analyze] [report] [with blank.snap] "),
                                   ("probe-analyze report --output=oth\t", "[probe-analyze] [report] [--output=other.txt] "),
                                   ("probe-load --out js\tother\t", "[probe-load] [--out] [json=other.txt] "),
                                   ("probe-load --body @oth\t", "[probe-load] [--body] [@other.txt] "),
                                   ("probe-load ht\t127.0.0.1", "[probe-load] [http://127.0.0.1] "),
                                   ("perfprobe run --unwind=lib\t-- true", "[perfprobe] [run] [--unwind=libunwind] [--] [true] ")):
                t.text = ""
                t.send(typed + "\x01printf '[%s] ' \x05; echo e''nd\n")  # to the beginning of the line, and to its end
                t.wait(lambda: "end" in t.text, typed)
                self.assertIn(becomes, t.text.replace("\r", ""))
        finally:
            t.close()

    def test_zsh_tab_key(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed")
        t = Terminal(["zsh", "-f", "-i"], self.where, PS1="% ")
        try:
            t.send("unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; " +
                   "".join(f"source <({p} completion zsh); " for p in PROGRAMS) + "echo load''ed\n")
            t.wait(lambda: "loaded" in t.text, "the loading")
            for typed, becomes in (("probe-analyze repo\t", "[probe-analyze] [report] "),
                                   ("probe-analyze export --format=cpu\t", "[probe-analyze] [export] [--format=cpuprofile] "),
                                   ("probe-load --out js\tother\t", "[probe-load] [--out] [json=other.txt] "),
                                   ("probe-load ht\t127.0.0.1", "[probe-load] [http://127.0.0.1] ")):
                t.text = ""
                t.send(typed + "\x01printf '[%s] ' \x05; echo e''nd\n")
                t.wait(lambda: re.search(r"\] end", t.text), typed)
                self.assertIn(becomes, t.text.replace("\r", ""))
        finally:
            t.close()

    def test_installed_scripts_are_those_that_are_printed(self):
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run([CMAKE, "--install", BUILD, "--prefix", prefix], check=True, capture_output=True, timeout=100)
            for program in PROGRAMS:
                for shell, path in (("bash", f"bash-completion/completions/{program}"), ("zsh", f"zsh/site-functions/_{program}"),
                                    ("fish", f"fish/vendor_completions.d/{program}.fish")):
                    with open(f"{prefix}/share/{path}") as f:
                        self.assertEqual(f.read(), output(program, "completion", shell))

    def test_wrong_shells(self):
        for program, code in (("perfprobe", 2), ("probe-analyze", 2), ("probe-load", 1)):
            for words in ([], ["ksh"], ["bash", "zsh"]):
                done = subprocess.run([program, "completion", *words], env=environment(), capture_output=True, text=True, timeout=60)
                self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (code, "", 1), done.stderr)
                self.assertRegex(done.stderr, "bash, zsh or fish")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

"""Programs that state their leaks (tests/leaks/leaks.h), and what an outside judge says of them: reading both, comparing both."""
import bisect
import json
import os
import re
import subprocess
from typing import NamedTuple, Optional

from recording import BUILD, analyze, environment

LEAKS = BUILD / "leaks"
BUILDS = ("gcc-O0", "gcc-O2", "clang-O0", "clang-O2")
MODES = ("exit", "demand")  # when somebody looks: at the end, or while all is still in place
SECONDS = 20  # no run may take longer; most take a hundredth


class Row(NamedTuple):
    """What a judge found: frames from the innermost outward, as names."""
    frames: list
    kind: str
    blocks: int
    bytes: int


class Statement(NamedTuple):
    leaks: dict  # when -> {(function, kind): [blocks, bytes or None]}
    functions: set  # every one that is named, of leaks and of what is kept
    answers: dict  # what -> [expected, found]

    def expected(self, whens):
        total = {}
        for when in whens:
            for key, (blocks, size) in self.leaks.get(when, {}).items():
                have = total.setdefault(key, [0, 0])
                have[0] += blocks
                have[1] = None if size is None or have[1] is None else have[1] + size
        return total


def parse(text):
    """A statement, or an AssertionError: a program that died half-way states nothing."""
    leaks, functions, answers, ready = {}, set(), {}, False
    for line in text.splitlines():
        words = line.split()
        if words[0] in ("leak", "keep"):
            what, when, kind, function, blocks, size = words
            functions.add(function)
            if what == "leak":
                entry = leaks.setdefault(when, {}).setdefault((function, kind), [0, 0])
                entry[0] += int(blocks)
                entry[1] = None if size == "*" or entry[1] is None else entry[1] + int(size)
        elif words[0] in ("expect", "found"):
            answers.setdefault(words[1], [None, None])[words[0] == "found"] = int(words[2])
        else:
            assert words == ["ready"], f"a line that is no statement: {line}"
            ready = True
    assert ready, f"the program did not get as far as to state its leaks:\n{text}"
    return Statement(leaks, functions, answers)


def plain(name):
    """A function's name without arguments, and without what compilers append to parts of it."""
    return re.split(r"[(<.\[]", name, maxsplit=1)[0].strip()


def compare(statement, whens, rows, kinds=True):
    """Sentences, one for each difference; none: recall and precision are both 100 %. kinds: are direct and indirect told apart?"""
    found, problems = {}, []
    for row in rows:
        site = next((plain(f) for f in row.frames if plain(f) in statement.functions), None)
        if site is None:
            problems.append(f"{row.blocks} blocks, {row.bytes} bytes ({row.kind}) by a function that loses nothing: "
                            + " <- ".join(row.frames[:6]))
            continue
        entry = found.setdefault((site, row.kind if kinds else "leaked"), [0, 0])
        entry[0] += row.blocks
        entry[1] += row.bytes
    expected = {}
    for (site, kind), (blocks, size) in statement.expected(whens).items():
        entry = expected.setdefault((site, kind if kinds else "leaked"), [0, 0])
        entry[0] += blocks
        entry[1] = None if size is None or entry[1] is None else entry[1] + size
    for key in sorted(expected.keys() | found.keys()):
        want, have = expected.get(key, [0, 0]), found.get(key, [0, 0])
        if want[0] != have[0] or (want[1] is not None and want[1] != have[1]):
            problems.append(f"{key[0]}, {key[1]}: {have[0]} blocks of {have[1]} bytes reported, "
                            f"{want[0]} of {'some' if want[1] is None else want[1]} lost")
    for what, (want, have) in statement.answers.items():
        if want != have:
            problems.append(f"{what}: answered {have}, not {want}")
    return problems


def program(build, topic):
    return LEAKS / build / f"victim_leaks_{topic}"


def topics():
    return sorted(p.name.removeprefix("victim_leaks_") for p in (LEAKS / BUILDS[0]).glob("victim_leaks_*"))


def cases():
    """(topic, case) of all programs that are built; empty without a build."""
    found = []
    for topic in topics():
        names = subprocess.run([program(BUILDS[0], topic), "list"], capture_output=True, text=True, timeout=20, check=True).stdout
        found += [(topic, name) for name in names.split()]
    return found


class Symbols:
    """Functions of one program by address, from its symbol table."""

    def __init__(self, path):
        rows = []
        for line in subprocess.run(["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True).stdout.splitlines():
            address, kind, name = line.split(maxsplit=2)
            if kind in "tTwW":
                rows.append((int(address, 16), name))
        rows.sort()
        self.addresses, self.names = [r[0] for r in rows], [r[1] for r in rows]

    def name(self, address):
        at = bisect.bisect_right(self.addresses, address) - 1
        return self.names[at] if at >= 0 else "?"


symbols = {}


def name_of(path, address):
    if path not in symbols:
        symbols[path] = Symbols(path)
    return symbols[path].name(address)


def lsan_runtime():
    """gcc's, which can be preloaded into any program."""
    name = subprocess.run(["gcc", "-print-file-name=liblsan.so"], capture_output=True, text=True).stdout.strip()
    return os.path.realpath(name) if os.path.isabs(name) and os.path.exists(name) else None


def lsan_rows(text, path):
    """{pid: rows} of LeakSanitizer's reports; of several of one process the last. Stacks are in its raw form: its own names are
    not asked for, because that takes most of its time."""
    reports, rows = {}, None
    for line in text.splitlines():
        if begin := re.match(r"==(\d+)==ERROR: LeakSanitizer: detected", line):
            rows = reports[int(begin[1])] = []
        elif leak := re.match(r"(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object", line):
            rows.append(Row([], leak[1].lower(), int(leak[3]), int(leak[2])))
        elif frame := re.match(r" #\d+ \((.*)\+0x([0-9a-f]+)\)", line):
            if frame[1] == str(path):
                rows[-1].frames.append(name_of(path, int(frame[2], 16) - 1))
            else:
                rows[-1].frames.append(os.path.basename(frame[1]))
    return reports


class Outcome(NamedTuple):
    statement: Statement
    rows: list
    child_rows: Optional[list]
    note: str  # what the process wrote on stderr


def is_lsans_own(row):
    return bool(row.frames) and all(re.match(r"(liblsan|libc|ld-linux-[a-z0-9-]*)\.so", f) for f in row.frames)


def run_lsan(build, topic, case, mode):
    """One case under LeakSanitizer: preloaded, or in the program where it was built so."""
    path = program(build, topic)
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("PERFPROBE_")}
    # suppressions match names, so those cases need them
    options = f"exitcode=0:fast_unwind_on_malloc=0:max_leaks=0:allocator_may_return_null=1:stack_trace_format=' #%n (%m+%o)':symbolize={int(topic == 'lsan_api')}"
    if build != "clang-lsan":
        env["LD_PRELOAD"] = lsan_runtime()
    if mode == "demand":
        env["LEAKS_JUDGE"] = "demand"
        options += ":leak_check_at_exit=0"
    env["LSAN_OPTIONS"] = options
    process = subprocess.Popen([path, case], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, f"{build} {topic} {case}: ended with {process.returncode}\n{out}\n{err}"
    # Its own: what libc's loader allocates for it, while threads start.
    reports = {pid: [r for r in rows if not is_lsans_own(r)] for pid, rows in lsan_rows(err, path).items()}
    children = [rows for pid, rows in reports.items() if pid != process.pid]
    return Outcome(parse(out), reports.get(process.pid, []), children[0] if children else [], err)


def judge(outcome, mode, kinds=True):
    """All that is wrong with an outcome: of the program, and of the child that it had."""
    whens = ("always", "exit" if mode == "exit" else "demand")
    problems = compare(outcome.statement, whens, outcome.rows, kinds)
    if mode == "exit" and "child" in outcome.statement.leaks:
        alone = outcome.statement._replace(answers={})
        problems += ["in the child: " + p for p in compare(alone, ("child",), outcome.child_rows, kinds)]
    return problems


def run_valgrind(build, topic, case):
    """One case under valgrind, at exit. It searches mappings too. A block that is only pointed to in its middle is "possibly
    lost" to it: to us it is held."""
    path = program(build, topic)
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("PERFPROBE_")}
    done = subprocess.run(["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect", "--leak-resolution=high",
                           "--num-callers=60", "--undef-value-errors=no", "--fair-sched=yes", path, case],
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5 * SECONDS)
    assert done.returncode == 0, f"{build} {topic} {case}: ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    rows, current = [], None
    for line in done.stderr.splitlines():
        line = re.sub(r"^==\d+== ?", "", line)
        record = re.match(r"([\d,]+) (?:\(([\d,]+) direct, [\d,]+ indirect\) )?bytes in ([\d,]+) blocks are (definitely|indirectly) lost", line)
        if record:
            size, blocks = (int(n.replace(",", "")) for n in (record[2] or record[1], record[3]))
            current = Row([], "direct" if record[4] == "definitely" else "indirect", blocks, size)
            rows.append(current)
        elif frame := re.match(r"   (?:at|by) 0x[0-9A-F]+: (.*?)(?: \(.*\))?$", line):
            if current is not None:
                current.frames.append(frame[1])
        elif not line.strip():
            current = None
    return Outcome(parse(done.stdout), rows, [], done.stderr)


def has_leaks_section(snapshot):
    """Was the program checked? docs/snapshot-format.md, 1: the index after the header names the sections; LEAKS is 15."""
    data = snapshot.read_bytes()
    header, count, entry = (int.from_bytes(data[at:at + 4], "little") for at in (12, 16, 20))
    return any(int.from_bytes(data[header + i * entry:][:4], "little") == 15 for i in range(count))


def rows_of(snapshot):
    """What probe-analyze says that a snapshot's check found."""
    assert has_leaks_section(snapshot), f"{snapshot.name} has no section LEAKS: the check was not made"
    found = json.loads(analyze("leaks", "--json", snapshot).stdout)
    rows = [Row(r["frames"], r["kind"], r["blocks"], r["bytes"]) for r in found["leaks"]]
    for key, total in (("leaked_blocks", sum(r.blocks for r in rows)), ("leaked_bytes", sum(r.bytes for r in rows))):
        assert found[key] == total, f"{snapshot.name}: {key} is {found[key]}, its rows have {total}"
    assert all("confirmed" in r for r in found["leaks"]), f"{snapshot.name}: a row does not say whether it is confirmed"
    check = found.get("check", {})
    assert check.get("done", True), f"{snapshot.name}: the check could not be done: {check.get('note')}"
    if check.get("checks", 1) > 1:  # what is lost stays lost
        assert all(r["confirmed"] for r in found["leaks"]), f"{snapshot.name}: seen by one of {check['checks']} checks only"
    return rows


def newest(directory, pid, reason):
    """The last snapshot that a process wrote for that reason. COMM.PID.SEQ.REASON.snap"""
    found = sorted(directory.glob(f"*.{pid}.*.{reason}.snap"), key=lambda p: int(p.name.split(".")[-3]))
    assert found, f"no {reason} snapshot of {pid}: {sorted(p.name for p in directory.iterdir())}"
    return found[-1]


def ask(pid):
    done = subprocess.run([BUILD / "bin" / "perfprobe", "leaks", str(pid)], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode in (0, 3), f"perfprobe leaks: {done.returncode}\\n{done.stdout}\\n{done.stderr}"


def run_library(directory, build, topic, case, mode, asking=ask, reading=rows_of, prefix=()):
    """One case under the library: checked when it ends (exit), asked for from outside while it waits (demand), or by the program
    itself (call). prefix: a program that becomes the case's by exec(2), and does so without the library."""
    options = {"heap": "full", "cpu": 0, "live": "off", "leaks": "exit" if mode == "exit" else "off"}
    env = environment(directory, **options)
    if mode == "call":
        env["LEAKS_JUDGE"] = "demand"
    process = subprocess.Popen([*prefix, program(build, topic), case], env=env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out = b""
        if mode == "demand":
            while not out.endswith(b"ready\n"):
                piece = os.read(process.stdout.fileno(), 65536)
                assert piece, f"ended before it was asked\n{process.communicate(timeout=SECONDS)[1].decode(errors='replace')}"
                out += piece
            asking(process.pid)
        rest, err = process.communicate(timeout=SECONDS)  # closes its input: it goes on to its end
        out, err = (out + rest).decode(), err.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"{build} {topic} {case}: ended with {process.returncode}\\n{out}\\n{err}"
    if mode != "exit":
        return Outcome(parse(out), reading(newest(directory, process.pid, "leaks")), [], err)
    children = [p for p in directory.glob("*.exit.snap") if p.name.split(".")[-4] != str(process.pid)]
    return Outcome(parse(out), reading(newest(directory, process.pid, "exit")),
                   reading(children[0]) if children else [], err)

"""The documents say what the tables and the programs say.   usage: docs.py DIRECTORY_OF_PROGRAMS

Variables and losses: preload/options.def and losses.def against README and manual pages. Commands and options: each
program's own --help (those that are built) against README and its manual page. Modules: every file against the code map.
Links and ADR references lead somewhere; manual pages are free of mistakes."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

import tree

PROGRAMS = sys.argv[1]
problems, checked = [], 0


def expect(condition, sentence):
    global checked
    checked += 1
    if not condition:
        problems.append(sentence)


def manual(name):
    """The page's source with escapes taken out, for plain searches."""
    return tree.read(f"docs/man/{name}").replace("\\-", "-").replace("\\&", "")


def options():
    row = re.compile(r'^OPTION\((\w+), *\w+, *\w+, *"([^"]*)", *"([^"]*)", *(\w+), *"', re.M)
    found = row.findall(tree.read("preload/options.def"))
    expect(len(found) == len(re.findall(r"^OPTION\(", tree.read("preload/options.def"), re.M)), "options.def: a row is not understood")
    return found


def check_variables():
    readme = {}
    for name, default in re.findall(r"^\| `PERFPROBE_(\w+)` \| ([^|]*) \|", tree.read("README.md"), re.M):
        expect(name not in readme, f"README.md: PERFPROBE_{name} stands in the table twice")
        readme[name] = default.strip()
    rows = options()
    for name, default, _, state in rows:
        want = f"`{default}`" if default else "–"
        expect(readme.get(name) == want, f"README.md: PERFPROBE_{name} should have the default {want}, not {readme.get(name)}")
        expect(f".It Ev PERFPROBE_{name}\n" in manual("libperfprobe.7"), f"libperfprobe.7: no PERFPROBE_{name}")
        flag = name.lower().replace("_", "-")
        expect(f".It Fl -{flag} " in manual("perfprobe.1"), f"perfprobe.1: no --{flag}")
        item = re.search(rf"^\.It Ev PERFPROBE_{name}\n((?:(?!\.It |\.El).*\n)*)", manual("libperfprobe.7"), re.M)
        expect(bool(item) and ("May be set while the program runs." in item.group(1)) == (state == "RUNTIME"),
               f"libperfprobe.7: PERFPROBE_{name} is {state}: say \"May be set while the program runs.\" exactly when it may")
        line = re.search(rf"^\| `PERFPROBE_{name}` .*", tree.read("README.md"), re.M)
        expect(bool(line) and ("not built yet" in line.group()) == (state == "LATER"),
               f"README.md: PERFPROBE_{name} is {state}: say \"not built yet\" exactly then")
    known = {row[0] for row in rows} | {"LIB", "SYMBOL_CACHE"}
    for name in ["README.md", "CHANGELOG.md"] + tree.files(".md", ".1", ".7"):
        for variable in set(re.findall(r"PERFPROBE_([A-Z]+(?:_[A-Z]+)*)\b", tree.read(name))):
            # a CMake variable of this name is told from the library's by its -D or its place in CMakeLists.txt
            cmake = re.search(rf"(option|set)\(PERFPROBE_{variable}\b", tree.read("CMakeLists.txt"))
            expect(variable in known or cmake, f"{name}: PERFPROBE_{variable} is no variable")


def check_losses():
    for name in re.findall(r'^LOSS\(\w+, *"([^"]+)"', tree.read("preload/losses.def"), re.M):
        expect(f".It Li {name}\n" in manual("libperfprobe.7"), f"libperfprobe.7: the loss {name} is not explained")


def check_metrics():
    text = tree.read("preload/metrics.def")
    rows = re.findall(r'^METRIC\(\w+, *(\w+), *"([^"]+)", *"([^"]*)", *"([^"]+)"\)', text, re.M)
    expect(len(rows) == len(re.findall(r"^METRIC\(", text, re.M)) > 0, "metrics.def: a row is not understood")
    page = manual("libperfprobe.7").replace("\\(aq", "'")
    for kind, name, otel, words in rows:
        item = re.search(rf"^\.It Li {name}\n((?:(?!\.It |\.El).*\n)*)", page, re.M)
        expect(item, f"libperfprobe.7: the metric {name} is not explained")
        expect(item and item.group(1).startswith(words + "\n"), f"libperfprobe.7: {name} should begin with: {words}")
        expect(item and (f"OpenTelemetry: {otel}.\n" in item.group(1)) == (otel not in ("", name)),
               f"libperfprobe.7: {name} is {otel or 'nothing'} among OpenTelemetry's names")
        for one in filter(None, (name, otel)):
            expect(re.fullmatch(r"[a-z][a-z0-9_]*", one), f"metrics.def: {one} is no name")
            expect(one.endswith("_total") == (kind == "COUNTER"), f"metrics.def: {one} is a {kind}: _total exactly for counters")
        expect("\\" not in words, f"metrics.def: {name}: a backslash in its help would have to be escaped")
    for one in (1, 2):
        names = [row[one] for row in rows if row[one]]
        expect(len(names) == len(set(names)), f"metrics.def: a name stands there twice: {names}")


def help_of(program, *words):
    path = os.path.join(PROGRAMS, program)
    if not os.path.exists(path):
        return None
    done = subprocess.run([path, *words, "--help"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"{program} {' '.join(words)} --help: status {done.returncode}")
    return done.stdout


def check_program(program):
    text = help_of(program)
    if text is None:
        return
    page, readme = manual(program + ".1"), tree.read("README.md")
    block = re.search(r"^commands:\n((?:  .*\n)+)", text, re.M)
    commands = re.findall(r"^  ([a-z]\S*)", block.group(1), re.M) if block else []
    pages = [text] + [help_of(program, command) for command in commands]
    for command in commands:
        expect(re.search(rf"\.It Cm .*\b{command}\b", page), f"{program}.1: no command {command}")
        expect(re.search(rf"`{command}\b", readme), f"README.md: no {program} {command}")
    for option in sorted(set(re.findall(r"^ {2,6}(?:-\w, )?--([a-z][\w-]*)", "\n".join(pages), re.M))):
        expect(re.search(rf"^\.It Fl .*-{re.escape(option)}(\s|$)", page, re.M), f"{program}.1: no option --{option}")


def check_code_map():
    text = tree.read("docs/ARCHITECTURE.md")
    expect(text.count("\n") <= 200, "docs/ARCHITECTURE.md: more than 200 lines")
    named = set(re.findall(r"`([\w*.]+)`", text))
    for name in tree.files(".c", ".h"):
        product, base = name.split("/")[0], os.path.splitext(os.path.basename(name))[0]
        if product in tree.PRODUCTS and name.count("/") == 1:
            expect(any(fnmatch.fnmatchcase(base, n.removesuffix(".h").removesuffix(".c")) for n in named) or
                   base.endswith(("_table", "_memory", "_draw")),
                   f"docs/ARCHITECTURE.md: the code map does not name {name}")


def check_links():
    for name in tree.files():
        if name.startswith(("tests/meta/", "tests/golden/")) or name.endswith((".snap", ".png", ".json")):
            continue
        text = tree.read(name)
        for number in re.findall(r"(?:docs/adr/|ADR )(\d{4})", text):
            expect(any(f.startswith(f"docs/adr/{number}-") for f in tree.files(".md")), f"{name}: there is no ADR {number}")
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)#\s]+)", text):
                if "://" not in target:
                    where = os.path.join(tree.ROOT, os.path.dirname(name), target)
                    expect(os.path.exists(where), f"{name}: the link {target} leads nowhere")


def check_manuals():
    if not shutil.which("groff"):
        return
    for name in tree.files(".1", ".3", ".7"):
        done = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", "-z", name], cwd=tree.ROOT, capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stderr, f"{name}: {done.stderr.strip()}")


check_variables()
check_losses()
check_metrics()
for one in ("perfprobe", "probe-analyze", "probe-load"):
    check_program(one)
check_code_map()
check_links()
check_manuals()
tree.report(problems, checked, "statements")

"""What libperfprobe.so shows and needs.   usage: symbols.py LIBRARY CORE_ARCHIVE

Shows exactly the names of preload/hooks*.def and those that preload/perfprobe.h declares. Needs libc and its loader only, and of libc only what
symbols_allowed.txt names, each with a reason. Its own code (the archive) calls no hooked function by its name: that
would come back in through our own hook."""
import fnmatch
import re
import subprocess
import sys

import tree

LIBRARY, ARCHIVE = sys.argv[1:3]
HOOKS = ("preload/hooks.def", "preload/hooks_alloc.def", "preload/hooks_ssl.def", "preload/hooks_database.def")
NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def table(name):
    """First words of the lines of a table."""
    lines = (line.split("#")[0].split() for line in tree.read(name).splitlines())
    return {words[0] for words in lines if words}


def dynamic_symbols():
    """(exported, undefined) names, versions cut off."""
    out = subprocess.run(["readelf", "-W", "--dyn-syms", LIBRARY], check=True, capture_output=True, text=True).stdout
    exported, undefined = set(), set()
    for line in out.splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].rstrip(":").isdigit() or words[4] == "LOCAL":
            continue
        name = words[7].split("@")[0]
        (undefined if words[6] == "UND" else exported).add(name)
    return exported, undefined


def main():
    hooks = set(re.findall(r"^HOOK\([^,]+,[^,]+, *(\w+),", "".join(map(tree.read, HOOKS)), re.M))
    allowed = table("tests/meta/symbols_allowed.txt")
    exported, undefined = dynamic_symbols()
    hooks |= set(re.findall(r"^PERFPROBE_WEAK_ extern .*?(perfprobe_1_\w+)\(", tree.read("preload/perfprobe.h"), re.M))
    problems = [f"the tables name {n}, but the library does not export it" for n in sorted(hooks - exported)]
    problems += [f"the library exports {n}, which no table names" for n in
                 sorted(exported - hooks)]
    problems += [f"the library needs {n}: not in symbols_allowed.txt" for n in sorted(undefined)
                 if not any(fnmatch.fnmatchcase(n, pattern) for pattern in allowed)]
    out = subprocess.run(["nm", "-u", ARCHIVE], check=True, capture_output=True, text=True).stdout
    own = {line.split()[-1] for line in out.splitlines() if line.startswith(" ")}
    problems += [f"the library's own code calls {n}, which it hooks: call the next one through real.h"
                 for n in sorted(own & hooks)]
    dynamic = subprocess.run(["readelf", "-W", "-d", LIBRARY], check=True, capture_output=True, text=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    problems += [f"the library needs {n}" for n in sorted(needed - NEEDED)]
    if "BIND_NOW" not in dynamic and "NOW" not in dynamic:
        problems.append("the library is bound lazily: a hook could enter the loader (-Wl,-z,now)")
    if "TEXTREL" in dynamic:
        problems.append("the library has text relocations")
    tree.report(problems, len(hooks), "hooks")


main()

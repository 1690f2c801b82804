"""Every header compiles alone, and with a second inclusion.   usage: headers.py CC"""
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import tree

CC = sys.argv[1]


def compile_alone(name, where):
    product = name.split("/")[0]
    source = os.path.join(where, name.replace("/", "_") + ".c")
    with open(source, "w") as f:
        f.write(f'#include "{os.path.basename(name)}"\n' * 2 + "extern int not_empty;\n")
    command = [CC, "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsyntax-only",
               "-iquote", os.path.join(tree.ROOT, product), "-iquote", os.path.join(tree.ROOT, "common"), source]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else f"{name} does not compile alone:\n{done.stderr}"


def main():
    # preload/arch_*.h are each for one processor; arch.h includes the one for this
    names = [n for n in tree.files(".h") if n.split("/")[0] in tree.PRODUCTS and n.count("/") == 1
             and not n.startswith("preload/arch_")]
    with tempfile.TemporaryDirectory() as where, ThreadPoolExecutor(2) as pool:
        problems = [p for p in pool.map(lambda n: compile_alone(n, where), names) if p]
    tree.report(problems, len(names), "headers")


main()

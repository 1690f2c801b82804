"""The C of the tree is as clang-format 14 writes it (scripts/fmt applies it), and no file is longer than the house
rules allow: 900 lines a file, tables excepted; 60 lines a function."""
import shutil
import subprocess
import sys

import tree

FILE_LINES, FUNCTION_LINES = 900, 60
# Longer for a reason, which stands here.
LONG_FUNCTIONS = {"preload/eh_frame.c": 110}  # one case for each DWARF call frame instruction


def long_functions(name):
    """A function's body is what stands between a brace and its partner in column 0."""
    start, limit = None, LONG_FUNCTIONS.get(name, FUNCTION_LINES)
    for number, line in enumerate(tree.read(name).splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > limit:
                yield f"{name}:{start}: a function of {number - start - 1} lines; {limit} is the limit"
            start = None


def main():
    formatter = shutil.which("clang-format-14")
    if not formatter:
        print("clang-format-14 is not installed: run scripts/setup test")
        sys.exit(1)
    names = tree.files(".c", ".h")
    done = subprocess.run([formatter, "--dry-run", "-Werror", "--style=file", *names], cwd=tree.ROOT,
                          capture_output=True, text=True)
    unformatted = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line})
    problems = [f"{name}: not as scripts/fmt writes it" for name in unformatted]
    if done.returncode != 0 and not unformatted:
        problems.append(done.stderr)
    for name in tree.files(".c", ".h", ".py", ".js", ".cmake"):
        lines = tree.read(name).count("\n")
        if lines > FILE_LINES:
            problems.append(f"{name}: {lines} lines; {FILE_LINES} is the limit")
    for name in names:
        problems += long_functions(name)
    tree.report(problems, len(names), "files")


main()

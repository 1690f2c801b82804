"""What the meta checks share: the tree's files, and the way they report. Standard library only."""
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PRODUCTS = ("common", "preload", "analyzer", "loadgen", "scripts")


def files(*endings):
    """Paths relative to the root: what git tracks or would track; without git, everything but build directories."""
    try:
        out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                             check=True, capture_output=True).stdout.decode()
        names = [n for n in out.split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for where, dirs, found in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d not in (".git", "build", "node_modules", "__pycache__")]
            names += [os.path.relpath(os.path.join(where, f), ROOT) for f in found]
    names = [n for n in sorted(set(names)) if os.path.isfile(os.path.join(ROOT, n))]
    return [n for n in names if not endings or n.endswith(endings)]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def report(problems, checked, what):
    """Prints every problem and ends the process. A check that looked at nothing is a failure too."""
    for problem in problems:
        print(problem)
    if not checked:
        print(f"no {what} to check: the check itself is broken")
        sys.exit(1)
    print(f"{checked} {what} checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)

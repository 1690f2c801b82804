"""Nothing in the tree belongs to one machine: no absolute path of somebody's, no package registry, no host that is not
in the list below. Text files end in a newline, scripts are executable and parse."""
import os
import re
import subprocess

import tree

# Hosts that may be named: what the text is about, name spaces, and addresses that are nobody's.
HOSTS = {"127.0.0.1", "localhost", "0.0.0.0", "[::1]", "::1", "www.w3.org", "www.apache.org", "github.com",
         "sourceware.org", "www.speedscope.app", "keepachangelog.com", "semver.org", "json-schema.org",
         "json.schemastore.org"}  # the last: the name that SARIF files give their schema
RESERVED = re.compile(r"(^|\.)(example|test|invalid|localhost)(\.(com|net|org))?$")  # RFC 2606
MACHINE_PATH = re.compile(r"(?<![\w.\-])/(?:work|home|root|Users)/[\w.\-]+")
BINARY = (".snap", ".live", ".png", ".gz", ".zst", ".ico")


def host_problems(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        for host in re.findall(r"\b(?:https?|wss?|ftp|git)://(\[[0-9a-fA-F:]+\]|[\w.\-]+)", line):
            if re.search(r"\.[A-Za-z]{2,}$", host) and host not in HOSTS and not RESERVED.search(host):
                yield f"{name}:{number}: names the host {host}"
        if MACHINE_PATH.search(line) and not name.startswith("tests/golden/"):
            yield f"{name}:{number}: names a path of one machine: {MACHINE_PATH.search(line).group()}"


def script_problems(name, text):
    if not text.startswith("#!"):
        return
    if not os.access(os.path.join(tree.ROOT, name), os.X_OK):
        yield f"{name}: has an interpreter line and is not executable"
    if "bash" in text.splitlines()[0] or text.startswith("#!/bin/sh"):
        done = subprocess.run(["bash", "-n", name], cwd=tree.ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{name}: {done.stderr.strip()}"
        for number, line in enumerate(text.splitlines(), 1):
            if "pipefail" in text and re.search(r"\|\s*(grep -\w*q|head\b)", line) and not line.strip().startswith("#"):
                yield f"{name}:{number}: leaves a pipe early, which pipefail takes for a failure of the writer"


def main():
    problems, names = [], [n for n in tree.files() if not n.endswith(BINARY) and "/golden/" not in n
                           and "/corpus/" not in n and "/regress/" not in n]
    for name in names:
        text = tree.read(name)
        if "\0" in text:
            continue
        problems += host_problems(name, text)
        problems += script_problems(name, text)
        if text and not text.endswith("\n"):
            problems.append(f"{name}: the last line has no newline")
        if "\r\n" in text:
            problems.append(f"{name}: lines end in CR LF")
        if re.search(r"[ \t]+$", text, re.M) and name.endswith((".c", ".h", ".def", ".py", ".cmake", ".txt", ".sh")):
            problems.append(f"{name}: blanks at the end of a line")
    tree.report(problems, len(names), "files")


main()

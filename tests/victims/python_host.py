"""Python with threads, subprocesses and worker processes made in both ways; prints results and what it sees of itself."""
import json
import multiprocessing
import os
import subprocess
import sys
import threading


# A profiler's variables, and descriptors above the limit, are its own.
SEES = ("import os, resource; print(sorted(n for n in os.environ if not n.startswith(('PERFPROBE_', 'LD_PRELOAD'))), sorted(n for n in "
        "map(int, os.listdir('/proc/self/fd')) if n < resource.getrlimit(resource.RLIMIT_NOFILE)[0]))")


def hot(n):
    x = n
    for i in range(n):
        x = (x * 1103515245 + i) % 2147483648
    return x


def main():
    results = [0] * 4
    threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, hot(100000 + i))) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("threads", results)
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(method, pool.map(hot, [30000, 30001, 30002, 30003]))
    print("subprocess", subprocess.run([sys.executable, "-c", SEES], capture_output=True, text=True, check=True).stdout)
    print("shell", subprocess.run("echo $((6 * 7))", shell=True, capture_output=True, text=True).stdout)
    exec(SEES, {})
    with open("/proc/self/maps") as f:
        own = [line.split() for line in f]
    print("maps", all(len(line) >= 5 for line in own), sum(line[-1] == os.path.realpath(sys.executable) for line in own) > 0,
          sum(line[-1] == "[stack]" for line in own))
    print(json.dumps(hot(100000)))


if __name__ == "__main__":
    main()

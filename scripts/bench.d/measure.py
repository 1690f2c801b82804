"""What the parts of scripts/bench recorder share: the variants a program runs in, taking turns, and tables."""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

BUILD = os.path.realpath(os.environ.get("BUILD_DIR", "build/release"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
WORK = tempfile.mkdtemp(prefix="perfprobe-bench-")
LIBRARY = os.path.join(BUILD, "lib", "libperfprobe.so")
PROBE = {"LD_PRELOAD": LIBRARY, "PERFPROBE_DIR": WORK}


class Variant(NamedTuple):
    before: list  # words before the command
    env: dict
    against: str = "base"  # the variant that the ratio is to
    once: bool = False  # too slow for every round


def shared_object(name):
    """As the loader would find it, or None."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    return next((line.split()[-1] for line in known.splitlines() if line.split()[:1] == [name]), None)


def find_lsan():
    """The runtime that gcc would link, by itself: reachability at exit, stacks by frame pointers."""
    name = subprocess.run(["gcc", "-print-file-name=liblsan.so"], capture_output=True, text=True).stdout.strip()
    return os.path.realpath(name) if os.path.isabs(name) and os.path.exists(name) else None


def find_variants():
    """Ours, and every peer that is installed. jemalloc and tcmalloc bring an allocator of their own: their profilers are
    compared with that."""
    found = {"base": Variant([], {})}
    if os.path.exists(LIBRARY):
        found["perfprobe full"] = Variant([], {**PROBE, "PERFPROBE_HEAP": "full"})
        found["perfprobe sampled"] = Variant([], {**PROBE, "PERFPROBE_HEAP": "sampled"})
    if shutil.which("heaptrack"):
        found["heaptrack"] = Variant(["heaptrack", "-r", "-o", WORK + "/heaptrack"], {})
    if lsan := find_lsan():
        found["LSan preloaded"] = Variant([], {"LD_PRELOAD": lsan, "LSAN_OPTIONS": "exitcode=0:log_path=" + WORK + "/lsan"})
    if jemalloc := shared_object("libjemalloc.so.2"):
        profile = "prof:true,prof_final:true,prof_prefix:" + WORK + "/jeprof,lg_prof_sample:"
        found["jemalloc"] = Variant([], {"LD_PRELOAD": jemalloc})
        found["jemalloc sampled"] = Variant([], {"LD_PRELOAD": jemalloc, "MALLOC_CONF": profile + "19"}, "jemalloc")
        found["jemalloc full"] = Variant([], {"LD_PRELOAD": jemalloc, "MALLOC_CONF": profile + "0"}, "jemalloc", True)
    if tcmalloc := shared_object("libtcmalloc.so.4"):
        found["tcmalloc"] = Variant([], {"LD_PRELOAD": tcmalloc})
        found["gperftools heap"] = Variant([], {"LD_PRELOAD": tcmalloc, "HEAPPROFILE": WORK + "/gperf"}, "tcmalloc", True)
    if profiler := shared_object("libprofiler.so.0"):
        found["gperftools CPU, 99 Hz"] = Variant([], {"LD_PRELOAD": profiler, "CPUPROFILE": WORK + "/gperf.cpu",
                                                      "CPUPROFILE_FREQUENCY": "99"})
    return found


VARIANTS = find_variants()
FAST = ["base", "perfprobe full", "perfprobe sampled", "heaptrack", "LSan preloaded", "jemalloc", "jemalloc sampled"]
HEAP = [*FAST, "jemalloc full", "tcmalloc", "gperftools heap"]


def command(words, variant):
    return variant.before + [str(w) for w in words], {**os.environ, **variant.env}


def clean():
    for name in os.listdir(WORK):
        if name.endswith((".snap", ".live", ".zst", ".gz", ".raw", ".heap")) or name.startswith(("heaptrack", "lsan", "gperf")):
            os.unlink(os.path.join(WORK, name))


def interleaved(measure, names, rounds=ROUNDS):
    """{variant: [figures]}: `rounds` of each that is there, in turns; one that fails is left out and named."""
    results, broken = {n: [] for n in names if n in VARIANTS}, {}
    for turn in range(rounds):
        for name in results:
            if name in broken or (turn and VARIANTS[name].once):
                continue
            try:
                results[name].append(measure(VARIANTS[name]))
            except (subprocess.SubprocessError, OSError, ValueError, StopIteration) as e:
                broken[name] = e
            clean()
    for name, why in broken.items():
        print(f"\n({name}: not measured: {type(why).__name__} {why})")
    return {n: v for n, v in results.items() if v and n not in broken}


def table(title, unit, results, goal="", higher_is_better=False):
    print(f"\n| {title} | {unit} | spread | ratio |\n|---|---|---|---|")
    middle = {name: statistics.median(figures) for name, figures in results.items()}
    for name, figures in results.items():
        against = VARIANTS[name].against
        ratio = f"{middle[name] / middle[against]:.3f}" if middle.get(against) else ""
        if against != "base":
            ratio += f" of {against}"
        spread = f"{min(figures):.4g} to {max(figures):.4g}" if len(figures) > 1 else "one run"
        print(f"| {name} | {middle[name]:.4g} | {spread} | {ratio} |")
    notes = [text for text in ("higher is better" if higher_is_better else "", "goal: " + goal if goal else "") if text]
    if notes:
        print(f"\n({'; '.join(notes)})")
    sys.stdout.flush()


def run(words, variant, timeout=300):
    """What it printed."""
    argv, env = command(words, variant)
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=timeout).stdout


def seconds(words, variant):
    argv, env = command(words, variant)
    began = time.monotonic()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = threading.Timer(300, process.kill)
    limit.start()
    status = process.wait()  # without a timeout: with one, Python looks only every 50 ms
    took = time.monotonic() - began
    limit.cancel()
    if status != 0:
        raise subprocess.CalledProcessError(status, argv)
    return took

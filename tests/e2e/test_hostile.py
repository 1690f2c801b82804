"""Programs that are hard on a library inside them. Each runs without the library first; with it, in full heap mode and sampled
at a high rate, it must print the same, end the same way, and leave profiles that can be read and hold together."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from recording import (LIBRARY, VICTIMS, Running, by_function, environment, identity, inclusive, info, one, report, snapshots,
                       usable_by_all, wait_until)

NOBODY = pwd.getpwnam("nobody").pw_uid
FULL = {"heap": "full", "cpu": 4999}
ROOT = os.getuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root")


def run(command, env, user=None, timeout=20, preexec=None):
    return subprocess.run([str(c) for c in command], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, preexec_fn=preexec, **identity(user))


def plain():
    return {k: v for k, v in os.environ.items() if not k.startswith("PERFPROBE_") and k != "LD_PRELOAD"}


def check_profile(path):
    """Readable, and its parts agree."""
    data = info(path)
    live = report(path, "live")
    assert live["total"] == data["heap"]["live_bytes"] == sum(s["value"] for s in live["stacks"])
    assert report(path, "live-count")["total"] == data["heap"]["live_count"]
    assert report(path, "cpu")["total"] == data["cpu"]["samples"]
    assert data["lost"]["stacks.full"] == data["lost"]["heap.missed_free"] == 0
    return data


def same_as_without(directory, command, user=None, timeout=20, preexec=None, stderr=None, preload=LIBRARY, **options):
    """Runs it without and with the library. Returns the second run and what its profiles say."""
    expected = run(command, plain(), user, timeout, preexec)
    env = environment(directory, **{**FULL, **options})
    env["LD_PRELOAD"] = str(preload)
    done = run(command, env, user, timeout, preexec)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout), done.stderr
    if stderr is None:
        assert done.stderr == expected.stderr
    else:
        assert re.fullmatch(stderr, done.stderr), done.stderr
    files = snapshots(directory)
    return done, [check_profile(path) for path in files[:: max(1, len(files) // 8)]]


def stays_live(path, text):
    """Compares "function blocks bytes" lines with the profile."""
    blocks, size = by_function(path, "live-count"), by_function(path, "live")
    lines = [line.split() for line in text.splitlines() if len(line.split()) == 3]
    assert lines
    for name, count, total in lines:
        assert (blocks.get(name, 0), size.get(name, 0)) == (int(count), int(total)), name


# ---- memory


@pytest.mark.parametrize("how", ["dlopen_storm", "tls_destructors", "in_handlers", "coroutines", "many_threads"])
def test_allocations_at_awkward_moments_are_exact(tmp_path, how):
    done, _ = same_as_without(tmp_path, [VICTIMS / "victim_hostile_memory", how, VICTIMS / "victim_hostile_plugin.so"], cpu=4999)
    stays_live(one(tmp_path), done.stdout)


def test_objects_that_had_the_same_addresses_keep_their_names(tmp_path):
    done, _ = same_as_without(tmp_path, [VICTIMS / "victim_reloads", VICTIMS / "victim_plugin_first.so", VICTIMS / "victim_plugin_second.so"])
    assert int(done.stdout) > 0, "none had the addresses of the other: nothing was tested"
    blocks = by_function(one(tmp_path), "live-count")
    assert (blocks.get("first_kept"), blocks.get("second_kept")) == (1000, 1000)


def test_addresses_that_go_from_thread_to_thread_are_counted_once(tmp_path):
    done, _ = same_as_without(tmp_path, [VICTIMS / "victim_hostile_memory", "realloc_race"], stderr=r"race \d+ \d+\n")
    stays_live(one(tmp_path), done.stderr)


def test_allocations_after_main(tmp_path):
    same_as_without(tmp_path, [VICTIMS / "victim_hostile_memory", "after_main"])
    assert by_function(one(tmp_path), "live")["at_exit"] == 60


# ---- processes


def test_a_storm_of_forks(tmp_path):
    same_as_without(tmp_path, [VICTIMS / "victim_hostile_process", "fork_storm"])
    files = snapshots(tmp_path)
    assert len(files) == 1 + 60 + 20
    kept = [by_function(path, "alloc").get("child_keeps", 0) for path in files[-20:]]
    assert set(kept) <= {0, 500, 1000} and kept.count(0) <= 1
    assert snapshots(tmp_path, "*.live") == []


@pytest.mark.parametrize("follow", ["fork", "none", "both"])
def test_children_made_in_every_way(tmp_path, follow):
    same_as_without(tmp_path, [VICTIMS / "victim_hostile_process", "spawn"], follow=follow)
    assert len(snapshots(tmp_path, "victim_hostile*")) == 1


@pytest.mark.parametrize("others", ["", "libjemalloc.so.2"])
def test_the_environment_is_the_programs(tmp_path, others):
    command = [VICTIMS / "victim_hostile_process", "environment"]
    expected = run(command, {**plain(), **({"LD_PRELOAD": others} if others else {})})
    env = environment(tmp_path, **FULL)
    env["LD_PRELOAD"] = f"{LIBRARY}:{others}" if others else str(LIBRARY)
    done = run(command, env)
    assert sorted(done.stdout.splitlines()) == sorted(expected.stdout.splitlines())
    assert (done.returncode, done.stderr) == (expected.returncode, expected.stderr)


@pytest.mark.parametrize("how", ["two_exits", "exit_while_others_allocate"])
def test_exit_among_busy_threads(tmp_path, how):
    for _ in range(5):
        same_as_without(tmp_path, [VICTIMS / "victim_hostile_process", how])
    assert len(snapshots(tmp_path)) == 5
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"


@pytest.mark.parametrize("threads", [1, 4])
def test_a_signal_may_end_the_process_at_any_moment(tmp_path, threads):
    command = [VICTIMS / "victim_hostile_process", "until_ended", *["several"] * (threads > 1)]
    for i in range(12):
        directory = tmp_path / str(i)
        directory.mkdir()
        options = {"every": "10ms"} if i % 3 == 2 else {}
        with Running(directory, command, **FULL, **options) as running:
            wait_until(lambda: "ready" in running.output(), what="ready")
            time.sleep(0.01 + i * 0.0037)
            start = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == -signal.SIGTERM
            assert time.monotonic() - start < 1.5, "the end was held up"
            assert running.output() == "ready\n"
        one(directory, "*.exit.snap")
        for path in snapshots(directory):
            check_profile(path)


def test_abort_is_abort(tmp_path):
    same_as_without(tmp_path, [VICTIMS / "victim_hostile_process", "abort"])


# ---- signals


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("how", ["eintr_is_fatal", "eintr_is_wanted", "all_blocked", "by_descriptor", "own_blocked", "own_timer"])
def test_programs_with_their_own_ideas_of_signals(tmp_path, how, user):
    if not ROOT and user == "root":
        pytest.skip("needs root")
    directory = usable_by_all(tmp_path)
    _, (data,) = same_as_without(directory, [VICTIMS / "victim_hostile_signals", how],
                                 user=NOBODY if ROOT and user == "nobody" else None)
    threads = {s["thread"] for s in report(one(directory), "cpu")["stacks"]}
    if user == "root":  # timers look at the kernel's ticks only, and may miss what runs between them
        assert data["cpu"]["samples"] > 100
        assert len(threads) == (2 if how in ("all_blocked", "eintr_is_fatal") else 1), "every thread goes on being sampled"


# ---- rights, descriptors, threads


@needs_root
@pytest.mark.parametrize("how", ["drops_privileges", "becomes_others"])
def test_our_thread_has_no_rights_the_program_gave_up(tmp_path, how):
    directory = usable_by_all(tmp_path)
    same_as_without(directory, [VICTIMS / "victim_hostile_limits", how], every="50ms", stderr="(perfprobe: cannot write to .*\n)?")
    path = one(directory, "*.exit.snap")
    if how == "drops_privileges":
        assert os.stat(path).st_uid == NOBODY
        assert os.stat(snapshots(directory)[0]).st_uid == 0


@pytest.mark.parametrize("user", [None, NOBODY] if ROOT else [None])
def test_a_program_that_is_not_dumpable(tmp_path, user):
    _, (data,) = same_as_without(usable_by_all(tmp_path), [VICTIMS / "victim_hostile_limits", "not_dumpable"], user=user)
    assert data["cpu"]["samples"] > 100
    assert any(m["build_id"] for m in data["modules"])


@needs_root
def test_a_program_that_changes_its_root(tmp_path):
    root = tmp_path / "root"
    (root / "profiles").mkdir(parents=True)
    same_as_without("/profiles", [VICTIMS / "victim_hostile_limits", "changes_root", root])
    check_profile(one(root / "profiles"))


@needs_root
def test_a_changed_root_without_the_directory(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "gone").mkdir()
    same_as_without(tmp_path / "gone", [VICTIMS / "victim_hostile_limits", "changes_root", tmp_path / "root"],
                    # the live file is made when there is something to keep, perhaps only in the new root
                    stderr="(perfprobe: no live file in .*: a recording that is killed is lost\n)?"
                           "perfprobe: no profile was written to .*: No such file or directory\n")


def limit(number):
    def set_limit():
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, number)
    return set_limit


@pytest.mark.parametrize("soft,hard", [(16, 16), (16, 4096), (256, 256), (1024, 4096)])
def test_descriptors_are_the_programs(tmp_path, soft, hard):
    _, (data,) = same_as_without(tmp_path, [VICTIMS / "victim_hostile_limits", "few_descriptors", soft], preexec=limit((soft, hard)), live="off")
    assert data["cpu"]["samples"] > 100


def test_our_thread_opens_nothing_among_them(tmp_path):
    """Not for a moment: the program's next descriptor would have another number. It has a table of its own before it opens."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = tmp_path / "trace"
    given = [e for name, value in environment(tmp_path).items() for e in ("-E", f"{name}={value}")]
    done = subprocess.run(["strace", "-f", "-o", str(trace), *given, "sleep", "0.5"], timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    lines = [line.split(None, 1) for line in trace.read_text().splitlines()]
    ours = next(int(m[1]) for _, call in lines if (m := re.search(r"clone.*CLONE_THREAD.* = (\d+)$", call)))
    calls = [call for tid, call in lines if int(tid) == ours]
    before = next(i for i, call in enumerate(calls) if call.startswith("close_range(0, 4294967295, CLOSE_RANGE_UNSHARE"))
    opens = [i for i, call in enumerate(calls) if re.match(r"(open|openat|socket|pidfd_open|perf_event_open)\(", call)]
    assert opens and before < opens[0], calls


def test_a_program_that_closes_all_descriptors(tmp_path):
    _, (data,) = same_as_without(tmp_path, [VICTIMS / "victim_hostile_limits", "closes_all"])
    assert data["cpu"]["samples"] > 0.4 * 1.9 * 4999, "sampling goes on"


@needs_root
def test_as_many_threads_as_the_user_may_have(tmp_path):
    user = 61234  # has no other processes
    same_as_without(usable_by_all(tmp_path), [VICTIMS / "victim_hostile_limits", "few_threads"], user=user)
    one(tmp_path)


@pytest.mark.parametrize("user", [None, NOBODY] if ROOT else [None])
def test_a_program_that_makes_its_own_namespace(tmp_path, user):
    command = [VICTIMS / "victim_hostile_limits", "own_namespace"]
    if run(command, plain(), user).returncode:
        pytest.skip("user namespaces are not allowed here")
    same_as_without(usable_by_all(tmp_path), command, user=user)
    one(tmp_path)


@needs_root
def test_a_process_namespace(tmp_path):
    command = ["unshare", "--pid", "--fork", "--mount-proc", "/bin/sh", "-c", f"{VICTIMS / 'victim_hostile_process'} fork_storm; echo $$"]
    if run(command, plain()).returncode:
        pytest.skip("namespaces are not allowed here")
    same_as_without(tmp_path, command, follow="both")
    assert len(snapshots(tmp_path, "victim_hostile*.snap")) == 81


SECCOMP = "perfprobe: the program restricts its system calls .*: the recording ends here\n"


@pytest.mark.parametrize("where", ["before", "now"])
@pytest.mark.parametrize("action", ["errno", "kill"])
def test_filters_of_system_calls(tmp_path, action, where):
    _, (*_, data) = same_as_without(tmp_path, [VICTIMS / "victim_hostile_limits", "seccomp", action, where], follow="both",
                                    stderr=SECCOMP)
    assert data["cpu"]["samples"] > 100 or data["engine"]["cpu"] == "off"


def test_a_program_in_a_cage(tmp_path):
    _, (data,) = same_as_without(tmp_path, [VICTIMS / "victim_hostile_limits", "in_a_cage"], stderr=SECCOMP)
    assert data["cpu"]["samples"] > 100


def test_little_address_space(tmp_path):
    command = ["/bin/sh", "-c", f"ulimit -s 256; ulimit -v 60000; exec {VICTIMS / 'victim_known'}"]
    done, _ = same_as_without(tmp_path, command, follow="both", stderr="(perfprobe: no .*: Cannot allocate memory.*\n)*")
    assert done.returncode == 0


def test_a_directory_that_cannot_be_written(tmp_path):
    done = run([VICTIMS / "victim_known"], environment("/proc/1", heap="full"))
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1


# ---- hosts of other kinds


def build(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"cannot build it here: {done.stderr.splitlines()[-1] if done.stderr else command}")


PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *run(void *arg) { for (int i = 0; i < 2000; i++) free(malloc(i)); return arg; }
int main(void) {
	pthread_t t;
	pthread_create(&t, NULL, run, NULL);
	run(NULL);
	pthread_join(t, NULL);
	puts("done");
	return 3;
}
"""


@pytest.fixture
def program(tmp_path):
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    return source


@pytest.mark.parametrize("compiler,kind", [(c, k) for c in ("gcc", "clang") for k in ("address", "thread", "leak", "memory")
                                           if (c, k) != ("gcc", "memory")])
def test_sanitized_programs_are_left_alone(tmp_path, program, compiler, kind):
    build([compiler, f"-fsanitize={kind}", "-pthread", program, "-o", tmp_path / "sanitized"])
    if run([tmp_path / "sanitized"], plain()).returncode != 3:
        pytest.skip("the sanitizer does not run here")
    _, profiles = same_as_without(tmp_path, [tmp_path / "sanitized"], stderr="perfprobe: passive: .*Sanitizer.*\n")
    assert profiles == []


def test_leaks_that_a_sanitizer_finds_are_the_same(tmp_path, program):
    program.write_text(PROGRAM.replace('puts("done");', 'for (int i = 0; i < 10; i++) *(void *volatile *)&t = malloc(77);'))
    for compiler in ("gcc", "clang"):
        build([compiler, "-fsanitize=leak", "-pthread", program, "-o", tmp_path / "leaks"])
        expected = run([tmp_path / "leaks"], plain())
        done = run([tmp_path / "leaks"], environment(tmp_path, **FULL))
        summary = re.compile(r"SUMMARY: LeakSanitizer: .*")
        assert done.returncode == expected.returncode != 3
        assert summary.findall(done.stderr) == summary.findall(expected.stderr) != []
        assert done.stderr.count("perfprobe: passive: ") == 1


def test_a_sanitizer_without_a_runtime_here_is_known_by_its_entry(tmp_path, program):
    """HWAddressSanitizer needs processors that this machine is not."""
    program.write_text(PROGRAM + "void __hwasan_init(void) { }\n")
    build(["gcc", "-rdynamic", "-pthread", program, "-o", tmp_path / "sanitized"])
    same_as_without(tmp_path, [tmp_path / "sanitized"], stderr="perfprobe: passive: .*HWAddressSanitizer.*\n")


@pytest.mark.parametrize("follow", ["exec", "both"])
def test_valgrind_is_left_alone(tmp_path, program, follow):
    build(["gcc", "-O1", program, "-o", tmp_path / "program"])
    same_as_without(tmp_path, ["valgrind", "-q", "--error-exitcode=9", tmp_path / "program"],
                                  stderr="perfprobe: passive: .*[Vv]algrind.*\n", follow=follow, timeout=60)
    assert snapshots(tmp_path, "program*.snap") == snapshots(tmp_path, "memcheck*.snap") == []


def test_static_programs_do_not_notice(tmp_path, program):
    build(["gcc", "-static", program, "-o", tmp_path / "static"])
    assert same_as_without(tmp_path, [tmp_path / "static"])[1] == []


@needs_root
def test_programs_with_rights_of_another_user(tmp_path, program):
    directory = usable_by_all(tmp_path)
    build(["gcc", program, "-o", directory / "setuid"])
    os.chmod(directory / "setuid", 0o4755)
    expected = run([directory / "setuid"], plain(), NOBODY)
    done = run([directory / "setuid"], environment(directory), NOBODY)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout) == (3, "done\n")
    assert snapshots(directory) == []

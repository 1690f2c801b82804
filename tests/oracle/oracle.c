/*
 * oracle.c - a preloaded judge: takes each stack twice, with the project's unwinder and with libunwind, and counts how
 * often the two agree frame for frame.
 *
 *   ORACLE_MODE   hooks: in malloc, calloc and realloc. signal: at instructions, from a signal's ucontext: every
 *                 tick of CPU time is the start of ORACLE_STEPS single steps, each of which is a sample.
 *   ORACLE_EVERY  hooks: every Nth call (default 1)
 *   ORACLE_OUT    prefix of the result, PREFIX.PID.json
 *
 * The two kinds are never mixed in a run: libunwind 1.6.2 crashes when its walk in a handler interrupts another one in the
 * same thread (libunwind issue 425). Everything under test runs under one spin lock that nobody waits for.
 * In hooks mode verified reuse (capture.c) is judged too: its stack must be that of the plain walk.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "atomic.h"
#include "capture.h"
#include "compiler.h"
#include "losses.h"
#include "os_linux.h"
#include "real.h"
#include "snapshot_layout.h"
#include "stacks.h"
#include "unwind.h"
#include "unwind_libunwind.h"

enum { DEPTH = 1024, DIFFERENCES = 256, CURSOR_WORDS = 256, TRAP_FLAG = 0x100, TICK_US = 2000 };
enum { UNW_RIP = 16, UNW_RSP = 7, FLAG_SIGNAL = 1 };

struct difference {
	uintptr_t last, ours, theirs; /* the last common frame, and what each side took for its caller (0: the end) */
	const char *why;              /* how our walk ended */
	uint64_t count;
};

static struct {
	int (*init_local2)(void *cursor, void *context, int flags);
	int (*step)(void *cursor);
	int (*get_reg)(void *cursor, int reg, uintptr_t *ret);
	int (*set_caching_policy)(void *space, int policy);
	void **local_space;
} lib;

static struct {
	uint64_t samples, equal, ours_longer, theirs_longer, skipped, ours_truncated, frames, deepest, reuse_equal,
	        reuse_different;
	struct difference different[DIFFERENCES];
	uint64_t forgotten; /* differences beyond the table */
} seen;

struct stack_pair {
	uintptr_t ours[DEPTH], theirs[DEPTH];
	size_t n_ours, n_theirs;
	bool ours_cut;
	uint64_t no_rule, bad_stack; /* why, if it is cut */
};

static struct stack_pair pair;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_bool on;
static bool by_signal;
static unsigned long every = 1, steps = 100;
static char prefix[400];
static _Thread_local struct {
	bool inside, known;
	unsigned long calls, steps_left;
	uintptr_t lo, hi;
	struct capture *capture;
} self TLS_INITIAL_EXEC;

/* ---- the comparison ----------------------------------------------------------------------------------------------- */

static void note_difference(uintptr_t last, uintptr_t ours, uintptr_t theirs)
{
	for (unsigned i = 0; i < DIFFERENCES; i++) {
		struct difference *d = &seen.different[i];

		if (d->count == 0)
			*d = (struct difference){ .last = last,
				                  .ours = ours,
				                  .theirs = theirs,
				                  .why = pair.no_rule     ? "no rule"
				                         : pair.bad_stack ? "bad stack"
				                         : pair.ours_cut  ? "too deep"
				                                          : "end" };
		/* One row for each place that was left differently; what the two took for its caller is of the first. */
		if (d->last == last) {
			d->count++;
			return;
		}
	}
	seen.forgotten++;
}

static void compare(void)
{
	size_t n = pair.n_ours < pair.n_theirs ? pair.n_ours : pair.n_theirs, i = 0;

	while (i < n && pair.ours[i] == pair.theirs[i])
		i++;
	seen.samples++;
	seen.frames += pair.n_ours;
	seen.ours_truncated += pair.ours_cut;
	if (seen.deepest < pair.n_ours)
		seen.deepest = pair.n_ours;
	if (i == pair.n_ours && i == pair.n_theirs) {
		seen.equal++;
		return;
	}
	seen.ours_longer += pair.n_ours > pair.n_theirs;
	seen.theirs_longer += pair.n_ours < pair.n_theirs;
	note_difference(i ? pair.ours[i - 1] : 0, i < pair.n_ours ? pair.ours[i] : 0,
	                i < pair.n_theirs ? pair.theirs[i] : 0);
}

static void walk_ours(const struct unwind_start *start)
{
	uint64_t no_rule = load_relaxed(&losses_count[LOSS_UNWIND_NO_RULE]);
	uint64_t bad_stack = load_relaxed(&losses_count[LOSS_UNWIND_BAD_STACK]);

	pair.n_ours = unwind_walk(start, pair.ours, DEPTH);
	pair.no_rule = load_relaxed(&losses_count[LOSS_UNWIND_NO_RULE]) - no_rule;
	pair.bad_stack = load_relaxed(&losses_count[LOSS_UNWIND_BAD_STACK]) - bad_stack;
	pair.ours_cut = pair.ours[pair.n_ours - 1] == SNAP_PC_TRUNCATED;
	pair.n_ours -= pair.ours_cut;
}

/* From the context on; frames whose stack pointer is below `sp` are the judge's own. */
static bool walk_theirs(ucontext_t *uc, int flags, uintptr_t sp)
{
	uintptr_t cursor[CURSOR_WORDS], pc, at;
	bool exact = flags == FLAG_SIGNAL;

	pair.n_theirs = 0;
	if (lib.init_local2(cursor, uc, flags) < 0)
		return false;
	for (unsigned i = 0; i < DEPTH; i++) {
		if (lib.get_reg(cursor, UNW_RIP, &pc) < 0 || lib.get_reg(cursor, UNW_RSP, &at) < 0 || pc < 4096)
			break;
		if (at >= sp)
			pair.theirs[pair.n_theirs++] = exact ? pc : pc - 1;
		else if (pair.n_theirs)
			pair.theirs[pair.n_theirs++] = exact ? pc : pc - 1; /* another stack below the first */
		exact = unwind_is_trampoline(pc);
		if (lib.step(cursor) <= 0)
			break;
	}
	return true;
}

static void judge_reuse(const struct unwind_start *start)
{
	uint32_t node;
	size_t i = 0;

	if (!self.capture) {
		self.capture =
		        mmap(NULL, sizeof(*self.capture), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (self.capture == MAP_FAILED)
			abort();
	}
	if (pair.n_ours + 1 >= STACKS_MAX_DEPTH)
		return; /* the tree leaves out frames in the middle of these */
	node = capture_stack(self.capture, start);
	while (node && i < pair.n_ours + pair.ours_cut) {
		if (stacks_pc(node) != (i < pair.n_ours ? pair.ours[i] : SNAP_PC_TRUNCATED))
			break;
		node = stacks_parent(node);
		i++;
	}
	if (node == 0 && i == pair.n_ours + pair.ours_cut)
		seen.reuse_equal++;
	else
		seen.reuse_different++;
}

/* ---- from hooks --------------------------------------------------------------------------------------------------- */

/* The mapping that this thread's stack pointer is in. Not asked of libc: pthread_getattr_np may be what called malloc, and
 * it holds a lock then. */
static void find_stack(void)
{
	static char text[1 << 20]; /* under `busy` */
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), lo, hi;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), n;
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return;
	while (len < sizeof(text) - 1 && (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	text[len] = '\0';
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "%lx-%lx%n", &lo, &hi, &n) == 2 && here >= lo && here < hi) {
			/* the main thread's may grow down */
			self.lo = strncmp(strchrnul(line, '['), "[stack]", 7) == 0 &&
			                          strchr(line, '[') < strchr(line, '\n')
			                  ? hi - (8 << 20)
			                  : lo;
			self.hi = hi;
			self.known = true;
			return;
		}
		if (!strchr(line, '\n'))
			return;
	}
}

static NOINLINE void on_call(const void *frame)
{
	int saved_errno = errno;

	if (self.inside || !atomic_load(&on))
		return;
	self.inside = true;
	if (!self.known && !atomic_flag_test_and_set(&busy)) {
		find_stack();
		atomic_flag_clear(&busy);
	}
	if (self.known && !by_signal && ++self.calls % every == 0 && !atomic_flag_test_and_set(&busy)) {
		struct unwind_start start = unwind_from_frame(frame, self.lo, self.hi);
		ucontext_t uc;

		getcontext(&uc);
		if (walk_theirs(&uc, 0, start.sp)) {
			walk_ours(&start);
			judge_reuse(&start);
			compare();
		} else {
			seen.skipped++;
		}
		atomic_flag_clear(&busy);
	}
	self.inside = false;
	errno = saved_errno;
}

EXPORT void *malloc(size_t size)
{
	if (!real_ready())
		return bootstrap_alloc(16, size);
	on_call(__builtin_frame_address(0));
	return real.malloc(size);
}

EXPORT void free(void *at)
{
	if (bootstrap_owns(at) || !real_ready())
		return;
	real.free(at);
}

EXPORT void *calloc(size_t n, size_t size)
{
	if (!real_ready())
		return bootstrap_alloc(16, n * size);
	on_call(__builtin_frame_address(0));
	return real.calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
	if (!real_ready() || bootstrap_owns(old)) {
		void *at = real_ready() ? real.malloc(size) : bootstrap_alloc(16, size);
		size_t was = old ? bootstrap_size(old) : 0;

		if (at && old)
			memcpy(at, old, was < size ? was : size);
		return at;
	}
	on_call(__builtin_frame_address(0));
	return real.realloc(old, size);
}

/* ---- from handlers ------------------------------------------------------------------------------------------------ */

/* The loader's own lists may be half changed: libunwind reads them. */
static bool inside_loader(uintptr_t pc)
{
	struct dl_find_object found;

	return _dl_find_object((void *)pc, &found) == 0 && found.dlfo_link_map && found.dlfo_link_map->l_name &&
	       strstr(found.dlfo_link_map->l_name, "ld-linux");
}

static void judge_context(ucontext_t *uc)
{
	uintptr_t regs[17], pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	struct unwind_start start;

	if (self.inside || !atomic_load(&on))
		return;
	self.inside = true;
	if (!self.known || atomic_flag_test_and_set(&busy)) {
		self.inside = false;
		return;
	}
	start = unwind_from_signal(uc, regs, self.lo, self.hi);
	walk_ours(&start);
	for (size_t i = 0; i < pair.n_ours && i < 40; i++) {
		if (inside_loader(pair.ours[i])) {
			/* ld.so's entry is the end of every stack of a program's start; anything else there is a look-up */
			pc = 0;
			break;
		}
	}
	if (pc && walk_theirs(uc, FLAG_SIGNAL, 0))
		compare();
	else
		seen.skipped++;
	atomic_flag_clear(&busy);
	self.inside = false;
}

/* A program that blocks SIGTRAP while it is stepped would be killed, and popf and pushf would see the flag: the steps end
 * before a system call and before those two. */
static bool may_step(const ucontext_t *uc)
{
	const uint8_t *at = (const uint8_t *)uc->uc_mcontext.gregs[REG_RIP];

	return os_readable(at) && !(at[0] == 0x0f && at[1] == 0x05) && at[0] != 0x9c && at[0] != 0x9d && at[0] != 0xcd;
}

/* One shot: the program gets this much time of its own before it is looked at again. */
static void arm(void)
{
	const struct itimerval tick = { .it_value = { .tv_usec = TICK_US } };

	setitimer(ITIMER_PROF, &tick, NULL);
}

static void on_tick(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	int saved_errno = errno;

	(void)sig;
	(void)info;
	if (!self.inside && atomic_load(&on)) {
		judge_context(uc);
		self.steps_left = steps;
		if (steps && may_step(uc))
			uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
		else
			arm();
	} else if (atomic_load(&on)) {
		arm();
	}
	errno = saved_errno;
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	int saved_errno = errno;

	(void)sig;
	(void)info;
	judge_context(uc);
	if (self.steps_left == 0 || --self.steps_left == 0 || !may_step(uc)) {
		uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
		arm();
	}
	errno = saved_errno;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void start_ticks(void)
{
	struct sigaction sa = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (!by_signal)
		return;
	sigaddset(&sa.sa_mask, SIGPROF);
	sigaction(SIGTRAP, &sa, NULL);
	sa.sa_sigaction = on_tick;
	sigaction(SIGPROF, &sa, NULL);
	arm();
}

static void in_child(void)
{
	memset(&seen, 0, sizeof(seen));
	atomic_flag_clear(&busy);
	start_ticks();
}

static unsigned long number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void *find(void *handle, const char *name)
{
	void *at = dlsym(handle, name);

	if (!at)
		abort();
	return at;
}

static CONSTRUCTOR(101) void begin(void)
{
	const char *mode = getenv("ORACLE_MODE"), *why;
	void *handle = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);

	if (!mode || !handle || strcmp(unwind_init(UNWIND_AUTO, &why), "cfi") != 0)
		abort();
	by_signal = strcmp(mode, "signal") == 0;
	if (getenv("ORACLE_OUT")) /* copied: programs write over their environment */
		snprintf(prefix, sizeof(prefix), "%s", getenv("ORACLE_OUT"));
	every = number("ORACLE_EVERY", 1);
	steps = number("ORACLE_STEPS", 100);
	*(void **)&lib.init_local2 = find(handle, "_ULx86_64_init_local2");
	*(void **)&lib.step = find(handle, "_ULx86_64_step");
	*(void **)&lib.get_reg = find(handle, "_ULx86_64_get_reg");
	*(void **)&lib.set_caching_policy = find(handle, "_ULx86_64_set_caching_policy");
	lib.local_space = find(handle, "_ULx86_64_local_addr_space");
	lib.set_caching_policy(*lib.local_space, 0); /* none: rules of code that was replaced would stay */
	self.inside = true;
	find_stack();
	pthread_atfork(NULL, NULL, in_child);
	self.inside = false;
	start_ticks();
	atomic_store(&on, true);
}

static void put_place(FILE *out, const char *name, uintptr_t pc, const char *after)
{
	Dl_info info = { 0 };

	if (pc && dladdr((void *)pc, &info) && info.dli_fname) {
		const char *base = strrchr(info.dli_fname, '/');

		fprintf(out, "\"%s\": [\"%s\", \"%#lx\", \"%s\"]%s", name, base ? base + 1 : info.dli_fname,
		        (unsigned long)(pc - (uintptr_t)info.dli_fbase), info.dli_sname ? info.dli_sname : "", after);
	} else {
		fprintf(out, "\"%s\": [\"%s\", \"%#lx\", \"\"]%s", name, pc ? "anonymous" : "end", (unsigned long)pc,
		        after);
	}
}

static __attribute__((destructor)) void end(void)
{
	const struct itimerval never = { 0 };
	char path[512];
	FILE *out;

	if (!atomic_exchange(&on, false))
		return;
	setitimer(ITIMER_PROF, &never, NULL);
	snprintf(path, sizeof(path), "%s.%d.json", prefix, (int)getpid());
	out = fopen(path, "w");
	if (!out)
		return;
	fprintf(out,
	        "{\"samples\": %lu, \"equal\": %lu, \"ours_longer\": %lu, \"theirs_longer\": %lu, \"skipped\": %lu, "
	        "\"ours_truncated\": %lu, \"frames\": %lu, \"deepest\": %lu, \"reuse_equal\": %lu, "
	        "\"reuse_different\": %lu, "
	        "\"forgotten\": %lu,\n \"differences\": [",
	        seen.samples, seen.equal, seen.ours_longer, seen.theirs_longer, seen.skipped, seen.ours_truncated,
	        seen.frames, seen.deepest, seen.reuse_equal, seen.reuse_different, seen.forgotten);
	for (unsigned i = 0; i < DIFFERENCES && seen.different[i].count; i++) {
		const struct difference *d = &seen.different[i];

		fprintf(out, "%s\n  {\"count\": %lu, \"why\": \"%s\", ", i ? "," : "", d->count, d->why);
		put_place(out, "last", d->last, ", ");
		put_place(out, "ours", d->ours, ", ");
		put_place(out, "theirs", d->theirs, "}");
	}
	fprintf(out, "]}\n");
	fclose(out);
}

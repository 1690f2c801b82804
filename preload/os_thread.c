/*
 * os_thread.c - a kernel thread that libc does not know.
 *
 * Its thread pointer leads to a block of its own: zeros where the libraries' thread-local variables would be (errno
 * among them), and a header with the words that compiled code reads through it (arch_thread_header).
 */
#include <errno.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "arch.h"
#include "os_linux.h"

enum { STACK_BYTES = 256 << 10, TLS_BYTES = 128 << 10, HEADER_BYTES = 8 << 10, GUARD_BYTES = ARCH_PAGE_MAX };

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS)

/* A process with the memory and descriptors of this one; no signal tells of its end, so that only who asks for it learns of it. */
#define PROCESS_FLAGS (CLONE_VM | CLONE_FILES | CLONE_UNTRACED | CLONE_SETTLS)

/* What the new thread pops from its stack. */
struct first_words {
	void (*fn)(void *);
	void *arg;
};

enum { TASK_BYTES = GUARD_BYTES + STACK_BYTES + TLS_BYTES + HEADER_BYTES };

/* Its tid or -errno. */
static long task_start(uint8_t *memory, long flags, void (*fn)(void *), void *arg)
{
	struct first_words *first;
	uint64_t all = ~UINT64_C(0), old = 0;
	uint8_t *tp;
	long tid;

	(void)os_call(SYS_mprotect, (long)memory, GUARD_BYTES, 0 /* PROT_NONE */, 0, 0, 0);
	tp = memory + GUARD_BYTES + STACK_BYTES + (ARCH_TLS_ABOVE ? HEADER_BYTES : TLS_BYTES);
	arch_thread_header(tp);
	/* 16-byte aligned before the call, as both ABIs want it: the two words are popped first. */
	first = (struct first_words *)(memory + GUARD_BYTES + STACK_BYTES) - 1;
	first->fn = fn;
	first->arg = arg;
	(void)os_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&all, (long)&old, 8, 0, 0);
	tid = arch_clone(flags, first, tp);
	(void)os_call(SYS_rt_sigprocmask, 2, (long)&old, 0, 8, 0, 0);
	return tid;
}

int os_thread_start(void (*fn)(void *), void *arg)
{
	static uint8_t *last_memory; /* of the thread made last; one caller at a time */
	static pid_t last_tid;
	bool again = last_memory && os_kill_thread(os_pid(), last_tid, 0) < 0;
	uint8_t *memory = again ? last_memory : os_map(TASK_BYTES);
	long tid;

	if (!memory)
		return -1;
	tid = task_start(memory, THREAD_FLAGS, fn, arg);
	if (tid < 0) {
		if (!again)
			os_unmap(memory, TASK_BYTES);
		return (int)tid;
	}
	last_memory = memory;
	last_tid = (pid_t)tid;
	return (int)tid;
}

static uint8_t *process_memory; /* of the process made last; one at a time */

int os_process_start(void (*fn)(void *), void *arg)
{
	long pid;

	if (!process_memory)
		process_memory = os_map(TASK_BYTES);
	pid = process_memory ? task_start(process_memory, PROCESS_FLAGS, fn, arg) : -ENOMEM;
	return (int)pid;
}

bool os_process_ended(pid_t pid)
{
	int status;
	long rc = os_call(SYS_wait4, pid, (long)&status, __WALL | WNOHANG, 0, 0, 0);

	return rc == pid || (rc < 0 && rc != -EINTR);
}

/* A program that gave up its privileges must not have a thread that kept them. hook_rights.c sees to that where they are given
 * up by libc's functions; this is for system calls made past them. */
void os_follow_credentials(void)
{
	long dumpable;
	uint64_t own = (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0), uid;

	/* Real, effective, saved, file system. */
	if (own != 0 || !os_status("Uid", 1, &uid) || uid == own)
		return;
	dumpable = os_call(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0, 0);
	/* Root may; then /proc and files are as the program's. */
	(void)os_call(SYS_setresuid, (long)uid, (long)uid, (long)uid, 0, 0, 0);
	if (dumpable == 1) /* which the kernel takes away, although the program may have asked for it since */
		(void)os_call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0, 0);
}

/* "/proc/self/task/TID/syscall", without libc. */
static void place_path(char path[64], pid_t tid)
{
	static const char before[] = "/proc/self/task/", after[] = "/syscall";
	char digits[24];
	size_t n = 0;

	memcpy(path, before, sizeof(before) - 1);
	path += sizeof(before) - 1;
	do
		digits[n++] = (char)('0' + tid % 10);
	while ((tid /= 10) > 0);
	while (n > 0)
		*path++ = digits[--n];
	memcpy(path, after, sizeof(after));
}

/* "running", or the number of the call, its six arguments, stack pointer, program counter; -1 and the last two where it is not in
 * a call (a page fault). All but the first are hexadecimal. */
static bool parse_place(const char *text, uintptr_t *ret_sp, uintptr_t *ret_pc)
{
	uintptr_t last[2] = { 0, 0 };

	for (const char *c = text; *c && *c != '\n';) {
		c += strcspn(c, " \n");
		c += *c == ' ';
		if (c[0] != '0' || c[1] != 'x')
			continue;
		last[0] = last[1];
		last[1] = 0;
		for (c += 2; (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f'); c++)
			last[1] = last[1] << 4 | (uintptr_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
	}
	*ret_sp = last[0];
	*ret_pc = last[1];
	return last[0] && last[1];
}

int os_thread_place(pid_t tid, uintptr_t *ret_sp, uintptr_t *ret_pc)
{
	char path[64], text[256];
	ssize_t n;

	place_path(path, tid);
	n = os_read_file(path, text, sizeof(text));
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	if (text[0] == 'r')
		return -EBUSY;
	return parse_place(text, ret_sp, ret_pc) ? 0 : -EPROTO;
}

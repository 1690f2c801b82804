/*
 * os_thread.c - a kernel thread that libc does not know.
 *
 * Its thread pointer leads to a block of its own: zeros where the libraries' thread-local variables would be (errno
 * among them), and a header with the words that compiled code reads through it (arch_thread_header).
 */
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "arch.h"
#include "os_linux.h"

enum { STACK_BYTES = 256 << 10, TLS_BYTES = 128 << 10, HEADER_BYTES = 8 << 10, GUARD_BYTES = ARCH_PAGE_MAX };

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS)

/* What the new thread pops from its stack. */
struct first_words {
	void (*fn)(void *);
	void *arg;
};

int os_thread_start(void (*fn)(void *), void *arg)
{
	static uint8_t *last_memory; /* of the thread made last; one caller at a time */
	static pid_t last_tid;
	size_t bytes = GUARD_BYTES + STACK_BYTES + TLS_BYTES + HEADER_BYTES;
	bool again = last_memory && os_kill_thread(os_pid(), last_tid, 0) < 0;
	uint8_t *memory = again ? last_memory : os_map(bytes), *tp;
	struct first_words *first;
	uint64_t all = ~UINT64_C(0), old = 0;
	long tid;

	if (!memory)
		return -1;
	(void)os_call(SYS_mprotect, (long)memory, GUARD_BYTES, 0 /* PROT_NONE */, 0, 0, 0);
	tp = memory + GUARD_BYTES + STACK_BYTES + (ARCH_TLS_ABOVE ? HEADER_BYTES : TLS_BYTES);
	arch_thread_header(tp);
	/* 16-byte aligned before the call, as both ABIs want it: the two words are popped first. */
	first = (struct first_words *)(memory + GUARD_BYTES + STACK_BYTES) - 1;
	first->fn = fn;
	first->arg = arg;
	(void)os_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&all, (long)&old, 8, 0, 0);
	tid = arch_clone(THREAD_FLAGS, first, tp);
	(void)os_call(SYS_rt_sigprocmask, 2, (long)&old, 0, 8, 0, 0);
	if (tid < 0) {
		if (!again)
			os_unmap(memory, bytes);
		return (int)tid;
	}
	last_memory = memory;
	last_tid = (pid_t)tid;
	return (int)tid;
}

/* A program that gave up its privileges must not have a thread that kept them. hook_rights.c sees to that where they are given
 * up by libc's functions; this is for system calls made past them. */
void os_follow_credentials(void)
{
	char text[4096];
	const char *line;
	long dumpable;
	uint32_t uid = 0, own = (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);

	if (own != 0 || os_read_file("/proc/self/status", text, sizeof(text)) <= 0)
		return;
	line = strstr(text, "\nUid:\t");
	line = line ? strchr(line + 6, '\t') : NULL; /* real, effective, saved, file system */
	for (line = line ? line + 1 : "0"; *line >= '0' && *line <= '9'; line++)
		uid = uid * 10 + (uint32_t)(*line - '0');
	if (uid == own)
		return;
	dumpable = os_call(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0, 0);
	(void)os_call(SYS_setresuid, uid, uid, uid, 0, 0, 0); /* root may; then /proc and files are as the program's */
	if (dumpable == 1) /* which the kernel takes away, although the program may have asked for it since */
		(void)os_call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0, 0);
}

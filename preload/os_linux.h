/* The kernel, without libc: every call returns -errno and leaves errno alone, so that hooks and signal handlers may use
 * it anywhere. The only file pair with system call numbers.
 * Context: [any], signal handlers and vfork children included, unless a function says otherwise. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "compiler.h"

struct iovec;
struct stat;

long os_call(long nr, long a, long b, long c, long d, long e, long f);

uint64_t os_now_ns(void);             /* CLOCK_MONOTONIC, by the vDSO */
uint64_t os_wall_ns(void);            /* CLOCK_REALTIME */
uint64_t os_boot_ns(void);            /* CLOCK_BOOTTIME */
uint64_t os_cpu_ns(void);             /* CPU time of the process */
uint64_t os_thread_cpu_ns(pid_t tid); /* CPU time of a thread of this process; 0 if it is gone */
pid_t os_pid(void);                   /* asks the kernel: right in a vfork child too */
pid_t os_tid(void);

/* Private zeroed memory in whole pages, kept out of core dumps; NULL when there is none. Never returned to malloc. */
void *os_map(size_t bytes);
void os_unmap(void *at, size_t bytes);
/* Bytes that os_map() has given and os_unmap() not taken back. */
uint64_t os_mapped_bytes(void);
/* Gives whole pages that will be written soon their memory at once: a fraction of what a page fault for each costs. A hint. */
void os_populate(void *at, size_t bytes);
/* Whole huge pages of memory in use become such. False: the kernel cannot (before 6.1), or will not. */
bool os_make_huge(void *at, size_t bytes);

/* A range of memory that is ours, not the program's: what os_map() gave is told of, other mappings are to be. False: there are
 * too many, and os_own_each() is incomplete. */
bool os_own(const void *at, size_t bytes);
void os_disown(const void *at);
/* Calls `visit` with each. False: some are missing. While nobody maps. */
bool os_own_each(void (*visit)(void *context, uintptr_t start, uintptr_t end), void *context);

int os_open(const char *path, int flags, mode_t mode);
int os_openat(int dir, const char *path, int flags, mode_t mode);
void os_close(int fd);
ssize_t os_read(int fd, void *to, size_t bytes);                   /* retried on EINTR */
int os_pread_all(int fd, void *to, size_t bytes, uint64_t offset); /* 0 or -errno; -EIO: the file ends before */
int os_write_all(int fd, const void *data, size_t bytes);          /* 0 or -errno; short writes continued */
int os_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset);
/* Whole file or as much as fits; NUL-terminated. Returns the length or -errno. */
ssize_t os_read_file(const char *path, char *to, size_t size);
int os_fstat(int fd, struct stat *ret_stat);
int os_rename_new(int dir, const char *from, const char *to); /* -EEXIST rather than replace */
int os_unlinkat(int dir, const char *path);
/* Copies from this process's own memory; false where any byte is not readable. Never faults. */
bool os_read_memory(const void *from, void *to, size_t bytes);
/* Is the page at `at` readable? One cheap system call; never faults. */
bool os_readable(const void *at);

void os_futex_wait(const void *word, uint32_t expected, uint64_t timeout_ns);
void os_futex_wake(const void *word);
void os_yield(void);
int os_kill_thread(pid_t pid, pid_t tid, int sig);
/* The number that stands as value number `which` in the line "field:" of /proc/self/status. False: there is none. */
bool os_status(const char *field, unsigned which, uint64_t *ret_value);
/* Is a filter of system calls (seccomp) in force for this thread? */
bool os_filtered(void);
/* May this process make the calls that `fn` makes? A filter may kill who asks, so where one is in force a forked child does.
 * `fn` answers 0 for yes and calls nothing of libc. */
bool os_may(int (*fn)(void));
/* The calling thread's work can wait, in pieces: the kernel is asked for short slices, and os_give_way() leaves the processor
 * for a moment if it has been used for long. One thread is that; for any other os_give_way() does nothing. */
void os_background(void);
void os_give_way(void);
/* Gives the calling thread a table of descriptors of its own, with none in it. 0, or -errno: it shares the program's. */
int os_own_descriptors(void);
/* The descriptor number `fd` of the program, seen from a thread with a table of its own, as one of its own. Or -errno. */
int os_program_descriptor(int fd);

/* Runs fn(arg) in a new thread that libc does not know, with every signal blocked (os_thread.c). Its tid or -errno. fn must
 * not call what looks at its libc thread, allocates or locks. Its memory is used again by the next, once it has ended. One
 * caller at a time. */
int os_thread_start(void (*fn)(void *), void *arg);
/* Where a thread of this process that does not run is in the program: its stack pointer, and the instruction it will go on with.
 * Nobody is woken. 0, -EBUSY (it runs), or another -errno: it is gone, or the kernel does not tell. proc(5), /proc/PID/syscall. */
int os_thread_place(pid_t tid, uintptr_t *ret_sp, uintptr_t *ret_pc);
/* Such a thread gives up what the program has given up by system calls of its own. [such a thread] */
void os_follow_credentials(void);

/* Runs fn(arg) in a process of its own that shares this one's memory and descriptors. Not known to the program: no SIGCHLD, no
 * wait(2) of the program's sees it but with __WALL or __WCLONE. Its pid or -errno. fn as above; one at a time, and it is to be
 * asked for its end. */
int os_process_start(void (*fn)(void *), void *arg);
bool os_process_ended(pid_t pid);

/* Descriptor moved up so that programs that use select() or count on low numbers see none of ours. Takes `fd` over. */
int os_move_up(int fd);

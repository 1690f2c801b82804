/* Where the kernel was when a CPU sample interrupted it: the kernel's own call chain, from the perf event's ring.
 * Context    as each function says. Sources: perf_event_open(2); include/uapi/linux/perf_event.h.
 * Errors     none: without a ring there are no such frames, and samples are what they were. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct perf_event_attr;

enum { KERNEL_FRAMES_MAX = 64 };

/* Has the event record the kernel's frames. */
void kernel_frames_ask(struct perf_event_attr *attr);
/* The ring of the event open as `fd`; NULL: there is no memory, or no more of it may be locked. It keeps the event alive, whatever
 * becomes of the descriptor. [system calls] */
void *kernel_frames_map(int fd);
void kernel_frames_unmap(void *ring); /* NULL is fine */
/* The frames of the newest sample, innermost first, and none where it interrupted the program itself; the ring is empty then.
 * [signal handler: one thread a ring] */
size_t kernel_frames_take(void *ring, uintptr_t *pcs, size_t max);

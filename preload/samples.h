/* CPU samples: counted by stack and thread for the whole recording, and kept with their time for the window.
 * Context    the sampling signal's handler, and the owner leaving a table section. No allocation but mmap, no lock that
 *            is waited for. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread;
struct tls;

/* Samples that the window can hold for one thread that never sleeps, and the window. Without it only counts
 * are kept; a shorter window leaves rings as large as they are. [init, helper] */
void samples_init(uint64_t ring_entries, uint64_t window_ns);

/* Counts pcs[0..depth) for the thread. The caller holds GUARD_TABLE. */
void samples_record(struct thread *th, const uintptr_t *pcs, size_t depth, uint64_t time_ns, uint16_t weight,
                    bool in_handler);
/* The recorder's tables are in use by this very thread: keep the sample until it leaves them. One at a time. */
void samples_defer(struct thread *th, const uintptr_t *pcs, size_t depth, uint64_t time_ns, uint16_t weight);
/* Records what was put aside. Owner, without GUARD_TABLE. */
void samples_flush(struct tls *t, struct thread *th);

/* The atomic operations the project uses, each with its order in its name. No implicit seq_cst anywhere else.
 * Every use says in a comment which operation it pairs with. */
#pragma once
#include <stdatomic.h>

#define load_relaxed(p)        atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p)        atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v)    atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v)    atomic_store_explicit((p), (v), memory_order_release)
#define add_relaxed(p, v)      atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define sub_relaxed(p, v)      atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define or_relaxed(p, v)       atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define sub_release(p, v)      atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
/* On failure *expected holds what was seen, read with acquire. */
#define cas_acq_rel(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
#define cas_relaxed(p, expected, v) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed, memory_order_relaxed)

/* For Dekker's algorithm: each of two sides stores its own word and then looks at the other's. */
#define load_seq_cst(p)        atomic_load_explicit((p), memory_order_seq_cst)
#define add_seq_cst(p, v)      atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define exchange_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)

/* Words of structures that also stand in files, where they are plain: publish what was written before. */
#define load_plain(p)       __atomic_load_n((p), __ATOMIC_RELAXED)
#define publish_plain(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define count_plain(p)      __atomic_fetch_add((p), 1, __ATOMIC_RELAXED)

/* Add to a counter that only the calling thread writes and others read: a plain load and store, never a locked add. */
#define own_add(p, v) store_relaxed((p), load_relaxed(p) + (v))
/* Order for the compiler only: between a thread and a signal handler that runs on it. */
#define signal_fence() atomic_signal_fence(memory_order_seq_cst)

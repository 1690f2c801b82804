/* One metric by thread: who used the CPU, who allocated, whose blocks are alive. Pure.
 * Ended threads of one name are one row, so that a program of many short threads has a short list. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "profile.h"

struct by_thread_row {
	const char *name; /* the model's */
	uint64_t tid;     /* 0: several, or one that had no record of its own */
	size_t threads;   /* how many; 1 for a shared record, whose number is not known */
	bool ended;       /* or in a record that threads share */
	uint64_t value;   /* in the metric's unit */
	uint64_t cpu_samples, off_cpu_samples, alloc_bytes, live_bytes;
	double alloc_count, live_count;
};

struct by_thread {
	struct by_thread_row *rows; /* the caller free()s them */
	size_t count;
	uint64_t total; /* of their values */
};

/* Largest value first, then by name and tid; rows without any figure are left out.
 * -EINVAL: not a metric that is known by thread; -ENODATA: not recorded. */
int by_thread(const struct model *m, enum profile_metric metric, struct by_thread *ret, struct err *err) MUST_USE;

/* The unreachable blocks of a checked snapshot, by stack of named frames, with what was suppressed apart. Pure.
 * Ownership  the result owns everything its pointers lead to; the model and the suppressions may go before it.
 * Context    hosted programs, one thread at a time (it asks the symbolizer). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "profile.h"

struct model;
struct suppressions;
struct symbolizer;

#define LEAK_NO_OWNER UINT32_MAX

struct leak_amount {
	uint64_t bytes, samples; /* samples: blocks that were seen; all, unless the check knew only samples */
	double blocks;
};

struct leak {
	bool indirect;
	uint32_t owner; /* an index into items: the direct leak that holds it; LEAK_NO_OWNER: direct, or not known */
	struct leak_amount all, confirmed; /* confirmed.samples is 0: not known */
	struct leak_amount held;           /* of a direct leak: what stands below it */
	uint64_t first_ns, last_ns;        /* when the oldest and the newest were allocated; 0: not known */
	double error_bytes;                /* standard error of all.bytes; 0 unless sampled */
	size_t suppression;                /* an index into the suppressions, or SUPPRESSION_NONE */
	uint32_t depth;
	const uint32_t *frames; /* indices into leaks.frames, leaf first */
};

/* What one suppression has hidden, indirect leaks of a hidden owner included. */
struct leak_hidden {
	size_t suppression;
	struct leak_amount amount;
};

struct leaks {
	struct leak *items; /* those to be told first, largest first, then the suppressed ones; ties by frames */
	size_t count, told; /* told: not suppressed */
	struct leak_amount direct, indirect, confirmed; /* of those told */
	double error_bytes;                             /* of direct and indirect together */
	struct leak_hidden *hidden;                     /* in the order of the suppressions */
	size_t hidden_count;
	const struct profile_frame *frames;
	size_t frame_count;
	void *memory; /* private to leaks.c */
};

/* Equal stacks of frames are one, apart by kind and owner; with `by_name` frames are equal that have one function and module.
 * The model must hold a check that was done. 0, -ENOMEM, -E2BIG. */
int leaks_build(const struct model *m, struct symbolizer *symbols, const struct suppressions *suppressions,
                bool by_name, struct leaks **ret_leaks, struct err *err) MUST_USE;
void leaks_free(struct leaks *l);
/* Those told, as a profile for pictures and exports: direct and indirect leaks of one stack are one. */
int leaks_profile(const struct leaks *l, const struct model *m, struct profile **ret_profile, struct err *err) MUST_USE;

/* Memory that is reachable and may still be a leak to its owner: stacks whose live bytes or blocks grow from snapshot to
 * snapshot, or, with one snapshot, whose blocks live on where its others are freed at once. Pure.
 * Units      rates are bytes per minute.
 * Ownership  the result owns everything its pointers lead to. Context  hosted programs, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "profile.h"
#include "trend.h"

/* One snapshot. Profiles of one process, all folded alike (by names, or not). */
struct suspects_input {
	const struct profile *live, *alloc; /* METRIC_LIVE, METRIC_ALLOC */
	uint64_t end_ns;                    /* rises strictly from one input to the next */
};

struct suspects_options {
	uint64_t interval_bytes; /* of heap sampling; 0: every block is known */
	const struct profile
	        *leaked; /* what is unreachable in the last snapshot: that growth is told there; may be NULL */
	bool by_names;   /* match frames by name and module alone */
};

enum suspect_reason {
	SUSPECT_GROWS,    /* from snapshot to snapshot */
	SUSPECT_SURVIVES, /* one snapshot: far more is alive than its blocks' usual lifetimes explain */
};

/* At least so many of a stack's live blocks are older than that. */
struct suspect_survivors {
	uint64_t age_ns, blocks;
};

struct suspect {
	enum suspect_reason reason;
	struct trend trend;     /* of bytes per minute; for SUSPECT_SURVIVES only the slope: the mean since the start */
	uint64_t bytes, blocks; /* live in the last snapshot */
	int64_t grown_bytes;    /* since the first */
	uint64_t freed_within_ns;            /* SUSPECT_SURVIVES: 99 of 100 freed blocks lived less than this */
	struct suspect_survivors *survivors; /* by rising age; those with none are left out */
	size_t survivor_count;
	uint32_t depth;
	const uint32_t *frames; /* indices into suspects.frames, leaf first */
};

struct suspects {
	struct suspect *items; /* the surest first, then the fastest; ties by frames */
	size_t count;
	size_t levelled; /* stacks that grew and have levelled off, or grew once: no suspects */
	size_t leaking;  /* stacks whose growth is unreachable: told as leaks */
	const struct profile_frame *frames;
	size_t frame_count;
	void *memory; /* private to suspects.c */
};

/* 1 <= n <= TREND_MAX_POINTS. 0, -ENOMEM, -E2BIG. */
int suspects_find(const struct suspects_input *inputs, size_t n, const struct suspects_options *options,
                  struct suspects **ret_suspects, struct err *err) MUST_USE;
void suspects_free(struct suspects *s);
/* How sure 0 to 1: one minus the chance that the order of the snapshots alone looks like that; a half where there is nothing
 * to judge it by (one snapshot, two). */
double suspect_confidence(const struct suspect *s);
/* "steady", "likely", "possible". */
const char *suspect_certainty(const struct suspect *s);

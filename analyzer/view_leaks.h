/* What `leaks` prints: unreachable blocks like a compiler's diagnostics, suspects, what was suppressed, what the check cost and
 * what makes its answer less sure. Never "no leaks" where that was not found out. Hosted programs; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "leaks.h"
#include "suppressions.h"
#include "suspects.h"
#include "view.h"

struct view_leaks {
	const struct model *m; /* the snapshot told of: the newest one that was checked, else the newest */
	const char *path;
	const struct leaks *leaks;       /* NULL: no check, or it could not be done */
	const struct profile *not_freed; /* instead */
	const struct suppressions *suppressions;
	const char *suppressions_note;   /* lines of the program's that are none; "" if all are */
	const struct suspects *suspects; /* NULL: suspects_note says why */
	const char *suspects_note;
	size_t snapshots;  /* that the suspects come from */
	uint64_t span_ns;  /* from the first of them to the last */
	uint64_t requests; /* that the process answered meanwhile; 0: none, or not known */
	uint64_t lost;     /* blocks that the recorder could not keep: nobody looked at them */
	uint64_t top;      /* 0: text 20 leaks and 10 suspects, JSON all */
	bool full_frames;
};

void view_leaks_text(const struct view *v, const struct view_leaks *in);
void view_leaks_json(struct buf *out, const struct view_leaks *in);
/* Sentences on what the answer rests on, one a line. For every format. */
void view_leaks_notes(const struct view_leaks *in, struct buf *out);
/* What a suspect grew for each of those requests, in bytes; false: not known. */
bool view_leaks_per_request(const struct view_leaks *in, const struct suspect *s, double *ret_bytes);
/* How long before the check a block was allocated; false: not known. */
bool view_leaks_age(const struct model *m, uint64_t born_ns, uint64_t *ret_ns);

/* The requests of one step, written out for one user: targets, headers and bodies in one piece of memory that is used again
 * and again. */
#pragma once
#include "vu.h"

enum { VU_RESULTS_MAX = 64 };

struct vu_batch {
	struct vu_request requests[VU_BATCH_MAX];
	size_t count;
	uint8_t results[VU_RESULTS_MAX];
	struct buf text;
};

/* `step`: a request, or several in parallel. Out of memory: none, and the scope has failed. */
void vu_batch_render(struct vu_batch *batch, const struct testplan_step *step, struct scope *s);
void vu_batch_done(struct vu_batch *batch);
/* A template as text, until the next comparison or vu_render(). */
const char *vu_render(struct scope *s, const struct template *t);
/* slot = value, with the kind of a template that is one value. */
void vu_set(struct scope *s, uint32_t slot, const struct template *value, bool is_json);

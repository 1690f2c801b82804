/* Any bytes as a plan, of whichever kind they look: refused with a sentence, or loaded; then it passes its own check, lint reads it,
 * and a user plays some of it against answers made of the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../fake/plan_play.h"
#include "lint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const char *data;
	size_t size;
};

static void answer(void *context, const struct vu_request *request, struct answer *ret)
{
	const struct input *in = context;
	size_t half = in->size / 2;

	(void)request;
	ret->status = in->size ? (uint16_t)(200 + (unsigned char)in->data[0]) : 0;
	ret->head = in->data;
	ret->head_len = half;
	ret->body = in->data + half;
	ret->body_len = in->size - half;
}

static void play(struct testplan *plan, struct input *in)
{
	struct vu_common common;

	if (!vu_common_init(&common, plan, 1, 1))
		return;
	for (size_t i = 0; i < plan->scenario_count && i < 3; i++) {
		struct play *p = calloc(1, sizeof(*p));
		struct vu *vu = vu_new(&common, &plan->scenarios[i], 1);

		if (p && vu) {
			struct vu_action a;
			struct vu_outcome outcome;

			p->answer = answer;
			p->context = in;
			vu_begin(vu, 1);
			for (unsigned n = 0; n < 50; n++) { /* plans may go on for ever */
				vu_next(vu, n * 1000, 0, &a);
				if (a.kind >= VU_ITERATION_OVER)
					break;
				for (size_t r = 0; a.kind == VU_REQUESTS && r < a.request_count; r++) {
					struct answer got = { .head = "",
						              .body = "",
						              .target = a.requests[r].target.data };

					if (strpbrk(a.requests[r].target.data,
					            "\r\n ")) /* it would end the request line */
						abort();
					answer(in, &a.requests[r], &got);
					vu_answered(vu, r, &got, &outcome);
				}
			}
		}
		vu_free(vu);
		free(p);
	}
	vu_common_done(&common);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct load_options options = { .no_files = true };
	struct input in = { (const char *)data, size };
	struct testplan *plan = NULL;
	struct err err = { 0 };
	struct lint lint;

	if (load_plan_text("plan", in.data, size, &options, &plan, &err) < 0) {
		if (err.text[0] == '\0' || plan)
			abort();
		return 0;
	}
	testplan_check(plan);
	lint_run(plan, &lint);
	play(plan, &in);
	testplan_free(plan);
	return 0;
}

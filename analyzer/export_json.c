/*
 * export_json.c - DESIGN.md 2.3's "report" shape: {"metric","unit","period_ns","total","stacks":[...]}, largest first.
 *
 * By default a stack is its function names, and stacks that differ in lines or addresses only are one (per thread). With
 * full frames they stay apart. `report --json` writes the same through the same function.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>

#include "export_samples.h"
#include "fold.h"
#include "json_write.h"
#include "profile.h"
#include "view.h"

/* The stacks of one thread, with their own total. Shares everything with `p` but the list, which *ret_stacks frees. */
static int filter(const struct profile *p, uint64_t tid, struct profile *ret, struct profile_stack **ret_stacks)
{
	struct profile_stack *stacks = calloc(p->stack_count + 1, sizeof(*stacks));

	if (!stacks)
		return -ENOMEM;
	*ret = *p;
	ret->stacks = stacks;
	ret->stack_count = 0;
	ret->total = 0;
	for (size_t i = 0; i < p->stack_count; i++) {
		if (!export_has_tid(p, p->stacks[i].thread, tid))
			continue;
		stacks[ret->stack_count++] = p->stacks[i];
		ret->total += p->stacks[i].value;
	}
	*ret_stacks = stacks;
	return 0;
}

int export_json(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct profile *folded = NULL, chosen;
	struct profile_stack *stacks = NULL;
	struct json j;
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0 && !o->full_frames)
		rc = fold_names(p, false, &folded, err);
	if (rc == 0 && filter(folded ? folded : p, o->tid, &chosen, &stacks) < 0)
		rc = err_set(err, -ENOMEM, "out of memory for the stacks");
	if (rc == 0) {
		json_init(&j, out);
		view_json_profile(&j, &chosen, o->top, o->full_frames);
		buf_add_char(out, '\n');
	}
	free(stacks);
	profile_free(folded);
	return rc;
}

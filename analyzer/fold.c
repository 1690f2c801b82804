#include "fold.h"

#include <errno.h>
#include <stdlib.h>

#include "profile_make.h"

/* Each path of `p` with other frames. [0] stays 0. */
static int fold_paths(const struct profile *p, struct profile_maker *mk, const uint32_t *frame_of, uint32_t *path_of)
{
	if (paths_reserve(&mk->paths, p->path_count + 1) < 0)
		return -ENOMEM;
	path_of[0] = 0;
	for (size_t i = 1; i <= p->path_count; i++) {
		const struct path_node *n = &p->paths[i];
		int64_t path;

		if (i + PATHS_AHEAD <= p->path_count)
			paths_expect(&mk->paths, path_of[n[PATHS_AHEAD].parent], frame_of[n[PATHS_AHEAD].item]);
		path = paths_add(&mk->paths, path_of[n->parent], frame_of[n->item]);
		if (path == PATHS_FAILED)
			return -ENOMEM;
		path_of[i] = (uint32_t)path;
	}
	return 0;
}

static int fold_stacks(const struct profile *p, bool join_threads, struct profile_maker *mk, const uint32_t *path_of,
                       uint32_t *stack_of)
{
	int rc = 0;

	for (size_t i = 0; i < p->stack_count && rc == 0; i++) {
		const struct profile_stack *s = &p->stacks[i];
		int64_t number = profile_maker_add_path(
		        mk, path_of[s->path], join_threads ? PROFILE_NO_THREAD : s->thread, s->value, (double)s->count);

		if (number < 0)
			return (int)number;
		stack_of[i] = (uint32_t)number;
		rc = s->heap ? profile_maker_heap(mk, number, s->heap) : 0;
	}
	for (size_t i = 0; i < p->sample_count && rc == 0; i++) {
		struct profile_sample sample = p->samples[i];

		sample.stack = stack_of[sample.stack];
		rc = profile_maker_sample(mk, sample);
	}
	return rc;
}

static int fold_about(const struct profile *p, struct profile_maker *mk)
{
	struct profile *out = mk->profile;

	out->period_ns = p->period_ns;
	out->followed = p->followed;
	out->partial = p->partial;
	out->checked = p->checked;
	out->lower_bound = p->lower_bound;
	out->lost = p->lost;
	out->pid = p->pid;
	out->start_ns = p->start_ns;
	out->end_ns = p->end_ns;
	out->start_wall_ns = p->start_wall_ns;
	out->comm = profile_maker_text(mk, p->comm);
	out->cmdline = profile_maker_text(mk, p->cmdline);
	if (!out->comm || !out->cmdline || profile_maker_losses(mk, p->losses, p->loss_count) < 0)
		return -ENOMEM;
	return profile_maker_threads(mk, p->threads, p->thread_count);
}

static int fold_frames(const struct profile *p, struct profile_maker *mk, uint32_t *frame_of)
{
	for (size_t i = 0; i < p->frame_count; i++) {
		struct profile_frame f = { p->frames[i].function, p->frames[i].module, NULL, 0, 0, false };
		int64_t number = profile_maker_frame(mk, &f);

		if (number < 0)
			return (int)number;
		frame_of[i] = (uint32_t)number;
	}
	return 0;
}

int fold_names(const struct profile *p, bool join_threads, struct profile **ret_profile, struct err *err)
{
	struct profile_maker mk;
	uint32_t *frame_of = malloc((p->frame_count + 1) * sizeof(*frame_of));
	uint32_t *stack_of = malloc((p->stack_count + 1) * sizeof(*stack_of));
	uint32_t *path_of = calloc(p->path_count + 1, sizeof(*path_of));
	int rc = profile_maker_init(&mk, p->metric);

	mk.in_tree = p->in_tree;
	if (!frame_of || !stack_of || !path_of)
		rc = -ENOMEM;
	if (rc == 0)
		rc = fold_about(p, &mk);
	if (rc == 0)
		rc = fold_frames(p, &mk, frame_of);
	if (rc == 0)
		rc = fold_paths(p, &mk, frame_of, path_of);
	if (rc == 0)
		rc = fold_stacks(p, join_threads, &mk, path_of, stack_of);
	if (rc == 0)
		rc = profile_maker_finish(&mk, ret_profile);
	profile_maker_done(&mk);
	free(frame_of);
	free(stack_of);
	free(path_of);
	if (rc == -E2BIG)
		return err_set(err, rc, "its stacks have more frames than can be shown");
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

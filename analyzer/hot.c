#include "hot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "paths.h"
#include "profile.h"

static int compare(const void *left, const void *right, void *context)
{
	const struct hot_function *a = left, *b = right;
	const struct profile_frame *frames = context;
	int order;

	if (a->self != b->self)
		return a->self > b->self ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = strcmp(frames[a->frame].function, frames[b->frame].function);
	return order ? order : strcmp(frames[a->frame].module, frames[b->frame].module);
}

int hot_functions(const struct profile *p, struct hot_function **ret_functions, size_t *ret_count, struct err *err)
{
	struct hot_function *list = calloc(p->frame_count + 1, sizeof(*list));
	size_t *seen_in = calloc(p->frame_count + 1, sizeof(*seen_in)); /* stack number + 1 */
	size_t n = 0;

	if (!list || !seen_in) {
		free(list);
		free(seen_in);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < p->stack_count; i++) {
		const struct profile_stack *s = &p->stacks[i];

		if (s->path)
			list[p->paths[s->path].item].self += s->value;
		for (uint32_t at = s->path; at; at = p->paths[at].parent) {
			uint32_t frame = p->paths[at].item;

			if (seen_in[frame] == i + 1)
				continue;
			seen_in[frame] = i + 1;
			list[frame].total += s->value;
		}
	}
	free(seen_in);
	for (size_t i = 0; i < p->frame_count; i++) {
		if (list[i].total == 0)
			continue;
		list[n] = list[i];
		list[n++].frame = (uint32_t)i;
	}
	qsort_r(list, n, sizeof(*list), compare, p->frames);
	*ret_functions = list;
	*ret_count = n;
	return 0;
}

/* live_read_threads.c - threads that are newer than the description, which is written once a second at most: their samples, requests and
 * allocations are in the tables, by their numbers. */
#include <string.h>

#include "live_read_part.h"
#include "model_memory.h"

enum { MOST_THREADS = 8192 }; /* more than a recorder tells apart; a damaged file may say anything */

static void see(size_t *most, uint32_t thread)
{
	if (thread < MOST_THREADS && thread >= *most)
		*most = thread + 1u;
}

/* One more than the highest number that a table names. */
static size_t named(const struct live *l)
{
	struct live_walk walk = { 0, 0 };
	struct live_work w;
	size_t most = 0, bytes;

	for (uint32_t i = 0; i < l->chunks; i++) {
		const struct live_chunk *c = &l->header->chunk[i];

		if ((c->kind == LIVE_RING || c->kind == LIVE_COUNTERS) &&
		    live_chunk(l, i, (enum live_kind)c->kind, &bytes))
			see(&most, c->owner); /* not LIVE_ENDED: that is more than there can be */
	}
	while (live_next_work(l, &walk, &w)) {
		if (w.request && w.request == w.request_again)
			see(&most, w.thread);
		if (w.call_since_ns && w.call_since_ns == w.call_again)
			see(&most, w.call_thread);
	}
	return most;
}

int live_read_threads(struct live *l, struct err *err)
{
	struct model *m = l->m;
	size_t n = named(l);
	struct model_thread *threads;

	if (n <= m->thread_count || m->thread_count == 0)
		return 0;
	threads = arena_array(model_arena(m), n, sizeof(*threads));
	if (!threads)
		return live_no_memory(err);
	memcpy(threads, m->threads, m->thread_count * sizeof(*threads));
	for (size_t i = m->thread_count; i < n; i++)
		threads[i] = (struct model_thread){ .name = "(new thread)", .start_ns = m->end_ns };
	m->threads = threads;
	m->thread_count = n;
	return 0;
}

/*
 * work.c - a row for each struct thread, in tables of the live file.
 *
 * Shape      tables of a page, made as there are more threads; a struct thread keeps its row, whoever owns it. Rows are sealed
 *            (live_layout.h): one writer, and only readers outside read.
 */
#include "work.h"

#include <stddef.h>

#include "atomic.h"
#include "live.h"
#include "threads.h"

enum { TABLE_BYTES = 4096, ROWS = (TABLE_BYTES - sizeof(struct live_head)) / sizeof(struct live_work), TABLES = 1024 };

struct table {
	struct live_head head;
	struct live_work row[ROWS];
};
static_assert(sizeof(struct table) <= TABLE_BYTES, "a page");

static struct table *_Atomic tables[TABLES];
static _Atomic uint32_t taken;

static struct table *table(uint32_t i)
{
	struct table *t = load_acquire(&tables[i]), *mine; /* pairs with the CAS below */

	if (t)
		return t;
	mine = live_map(LIVE_WORK, i, sizeof(*mine));
	if (!mine)
		return NULL;
	if (cas_acq_rel(&tables[i], &t, mine)) {
		/* For readers outside alone. */
		mine->head.table =
		        (struct live_table){ offsetof(struct table, row), sizeof(struct live_work), ROWS, 0 };
		live_activate(mine);
		return mine;
	}
	live_unmap(mine, sizeof(*mine));
	return t;
}

static struct live_work *row_of(struct thread *th)
{
	uint32_t n;
	struct table *t;

	if (th->work)
		return th->work;
	n = add_relaxed(&taken, 1);
	t = n / ROWS < TABLES ? table(n / ROWS) : NULL;
	if (t)
		th->work = &t->row[n % ROWS];
	else
		sub_relaxed(&taken, 1);
	return th->work;
}

void work_show_request(struct thread *th, uint64_t id, uint64_t since_ns, bool shared)
{
	struct live_work *w = id ? row_of(th) : th->work;

	if (!w)
		return;
	publish_plain(&w->request, UINT64_C(0));
	if (!id)
		return;
	publish_plain(&w->request_again, id);
	w->since_ns = since_ns;
	w->shared = shared;
	w->thread = th->record;
	publish_plain(&w->request, id);
}

void work_show_call(struct thread *th, uint32_t row, uint64_t since_ns, uint64_t request)
{
	struct live_work *w = row ? row_of(th) : th->work;

	if (!w)
		return;
	publish_plain(&w->call_since_ns, UINT64_C(0));
	if (!row)
		return;
	publish_plain(&w->call_again, since_ns);
	w->call_request = request;
	w->call_row = row;
	w->call_thread = th->record;
	publish_plain(&w->call_since_ns, since_ns);
}

void work_fork_child(struct thread *self)
{
	for (struct thread *th = threads_first(); th; th = th->next)
		th->work = NULL;
	for (uint32_t i = 0; i < TABLES; i++)
		store_relaxed(&tables[i], NULL); /* the parent's, or left */
	store_relaxed(&taken, 0);
	if (self && load_relaxed(&self->http_now))
		work_show_request(self, load_relaxed(&self->http_now), load_relaxed(&self->http_since),
		                  load_relaxed(&self->http_shared));
}

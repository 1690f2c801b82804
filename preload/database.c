/*
 * database.c - what is known of database calls.
 *
 * Shape      two mappings, made with the first call and touched as they are used. Shown, in the live file: a row for each system,
 *            operation and table, a ring of spans, calls under way. The process's own: whose those calls are, statements by name.
 * Texts      a program says the same few things again and again: the row of a short text is kept by the text's hash, of which all 64 bits
 *            are compared: 56 in the word, the rest by its place.
 * Groups     calls and statements are found by hash in a group of neighbours, which is searched whole: so a place can be given
 *            back at any time.
 * Invariants I1  a row gets its key once; it is complete when `ready` is set, and never goes.
 *            I2  a place of the ring is taken by a counter, and is a sealed row.
 *            I3  a call's place belongs to who stored its handle, until he stores 0. Its number is set last and cleared first: whoever
 *                else reads it looks at the number before and after.
 */
#include "database.h"

#include <assert.h>
#include <string.h>

#include "config.h"
#include "live.h"
#include "losses.h"
#include "os_linux.h"
#include "sealed.h"
#include "threads.h"
#include "work.h"

enum { ROWS_OTHER = DATABASE_ROWS / 4 /* rows kept for _OTHER */ };
enum { CALL_GROUP = 32, CALL_GROUPS = DATABASE_CALLS / CALL_GROUP, STATEMENT_GROUP = 16 };
enum { TEXTS = 4096, TEXT_BYTES = 512 /* longer ones are lexed, which ends soon */ };
static_assert(DATABASE_ROWS <= 256 && TEXTS >= 256, "a row and a place share a hash's word");

struct kept_span {
	_Atomic uint64_t number;
	struct database_span s;
	_Atomic uint64_t again;
};

struct call {
	_Atomic uint64_t number; /* order of those of one handle; 0: none, or being written */
	uint64_t start_ns, request;
	_Atomic uint64_t spent_ns; /* 0: not made in steps */
	_Atomic uint64_t step_ns;  /* when the step that is made now began; 0: none is */
	uint32_t thread;
	_Atomic uint32_t row; /* 0: stands for calls that found no place */
	_Atomic uint64_t again;
	uint32_t skipped; /* calls behind it that found no place */
	bool answered, failed;
};

struct shown {
	struct live_database head;
	struct database_row rows[DATABASE_ROWS];
	struct kept_span spans[DATABASE_SPANS];
	struct call calls[DATABASE_CALLS];
};
static_assert(sizeof(struct shown) > LIVE_PIECE_MAX, "live_renew");

/* The live file's readers know these structures by live_layout.h. */
static_assert(sizeof(struct database_row) == sizeof(struct live_database_row), "layout");
static_assert(offsetof(struct database_row, table) == offsetof(struct live_database_row, table), "layout");
static_assert(offsetof(struct database_row, errors) == offsetof(struct live_database_row, errors), "layout");
static_assert(offsetof(struct database_row, took) == offsetof(struct live_database_row, took), "layout");
static_assert((int)SQL_TABLE_BYTES == LIVE_DATABASE_TABLE_BYTES, "layout");
static_assert(sizeof(struct kept_span) == sizeof(struct live_database_span), "layout");
static_assert(offsetof(struct database_span, thread) + 8 == offsetof(struct live_database_span, thread), "layout");
static_assert(offsetof(struct database_span, unfinished) + 8 == offsetof(struct live_database_span, unfinished),
              "layout");
static_assert(offsetof(struct kept_span, again) == offsetof(struct live_database_span, again), "layout");
static_assert(offsetof(struct call, step_ns) == offsetof(struct live_database_call, step_ns), "layout");
static_assert(offsetof(struct call, row) == offsetof(struct live_database_call, row), "layout");
static_assert(offsetof(struct call, again) == offsetof(struct live_database_call, again), "layout");
static_assert((int)SQL_OPERATION_COUNT <= LIVE_NAMES && (int)SQL_SYSTEMS <= LIVE_NAMES, "layout");

struct statement {
	_Atomic uint64_t key; /* of handle and name; 0: free */
	_Atomic uintptr_t handle;
	_Atomic uint32_t row;
};

struct tables {
	struct shown *shown;
	_Atomic uint64_t texts[TEXTS];                          /* 56 bits of the hash, and the row less 1; 0: none */
	_Atomic uint32_t calls_in[CALL_GROUPS];                 /* of a group's places that are taken, or about to be */
	_Alignas(64) _Atomic uintptr_t handles[DATABASE_CALLS]; /* of calls; 0: free */
	struct statement statements[DATABASE_STATEMENTS];
};

_Atomic bool database_on;
static struct tables *_Atomic tables;
static _Atomic uint64_t span_head, call_numbers, window_ns;
static _Atomic uint32_t row_count;
static _Atomic bool any_prepared;

void database_init(const struct config *config)
{
	store_relaxed(&window_ns, config->window);
}

static struct tables *get(void)
{
	return load_acquire(&tables); /* pairs with the CAS in make() */
}

static void table(struct live_table *ret, size_t offset, size_t row_bytes, size_t rows)
{
	*ret = (struct live_table){ (uint32_t)offset, (uint32_t)row_bytes, (uint32_t)rows, 0 };
}

static void name(char to[LIVE_NAME_BYTES], const char *from)
{
	memcpy(to, from, strnlen(from, LIVE_NAME_BYTES - 1));
}

static void describe(struct live_database *head)
{
	table(&head->rows, offsetof(struct shown, rows), sizeof(struct database_row), DATABASE_ROWS);
	table(&head->spans, offsetof(struct shown, spans), sizeof(struct kept_span), DATABASE_SPANS);
	table(&head->calls, offsetof(struct shown, calls), sizeof(struct call), DATABASE_CALLS);
	for (unsigned i = 0; i < SQL_SYSTEMS; i++)
		name(head->systems[i], sql_system_name((enum sql_system)i));
	for (unsigned i = 0; i < SQL_OPERATION_COUNT; i++)
		name(head->operations[i], sql_operation_name((enum sql_operation)i));
}

static struct tables *make(void)
{
	struct tables *t = get(), *mine;

	if (LIKELY(t != NULL))
		return t;
	mine = os_map(sizeof(*mine));
	if (mine)
		mine->shown = live_map(LIVE_DATABASE, 0, sizeof(*mine->shown));
	if (mine && mine->shown) {
		if (cas_acq_rel(&tables, &t, mine)) {
			describe(&mine->shown->head); /* for readers outside alone */
			live_activate(mine->shown);
			return mine;
		}
		live_unmap(mine->shown, sizeof(*mine->shown));
	}
	os_unmap(mine, sizeof(*mine));
	return t;
}

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text, uint64_t h)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

static uint64_t key_of(enum sql_system system, const struct sql *s)
{
	uint64_t h = mix(hash_of(s->table, UINT64_C(14695981039346656037) ^ (unsigned)system << 8 ^ s->operation));

	return h ? h : 1;
}

/* Rows are counted before they are taken, so that at most `most` are. 0: no room. */
static uint32_t row(struct tables *t, enum sql_system system, const struct sql *s, uint32_t most)
{
	uint64_t key = key_of(system, s);

	for (uint32_t i = 0; i < DATABASE_ROWS; i++) {
		uint32_t at = (uint32_t)((key + i) % DATABASE_ROWS);
		struct database_row *r = &t->shown->rows[at];
		uint64_t seen = load_relaxed(&r->key);

		if (!seen) {
			if (add_relaxed(&row_count, 1) >= most) {
				sub_relaxed(&row_count, 1);
				return 0;
			}
			if (cas_acq_rel(&r->key, &seen, key)) {
				r->system = (uint8_t)system;
				r->operation = (uint8_t)s->operation;
				memcpy(r->table, s->table, sizeof(r->table));
				store_release(&r->ready, 1); /* pairs with the acquire in database_row */
				return at + 1;
			}
			sub_relaxed(&row_count, 1);
		}
		if (seen == key)
			return at + 1;
	}
	return 0;
}

static uint32_t row_or_other(struct tables *t, enum sql_system system, const struct sql *s)
{
	struct sql other = { s->operation, "_OTHER" };
	uint32_t at = row(t, system, s, DATABASE_ROWS - ROWS_OTHER);

	if (LIKELY(at != 0))
		return at;
	loss_add(LOSS_DATABASE_ROWS, 1);
	at = row(t, system, &other, DATABASE_ROWS - SQL_SYSTEMS);
	if (at)
		return at;
	other.operation = SQL_OTHER;
	return row(t, system, &other, DATABASE_ROWS);
}

static uint64_t text_hash(enum sql_system system, const char *text, size_t bytes)
{
	uint64_t h = mix((uint64_t)system << 32 ^ bytes), last = 0;
	size_t i = 0;

	for (; i + 8 <= bytes; i += 8) {
		uint64_t word;

		memcpy(&word, text + i, 8);
		h = mix(h ^ word);
	}
	memcpy(&last, text + i, bytes - i);
	return mix(h ^ last);
}

uint32_t database_row_of(enum sql_system system, const char *text, size_t bytes)
{
	struct tables *t = make();
	_Atomic uint64_t *kept;
	uint64_t hash, word;
	size_t length;
	struct sql s;
	uint32_t at;

	if (!t)
		return 0;
	length = text ? strnlen(text, bytes < TEXT_BYTES ? bytes : TEXT_BYTES) : TEXT_BYTES;
	if (length == TEXT_BYTES) {
		sql_parse(system, text, bytes, &s);
		return row_or_other(t, system, &s);
	}
	hash = text_hash(system, text, length);
	kept = &t->texts[hash % TEXTS];
	word = load_relaxed(
	        kept); /* one word is the whole entry; the row it names was published before any call of it */
	if (LIKELY(word && word >> 8 == hash >> 8))
		return (uint32_t)(word & 255) + 1;
	sql_parse(system, text, length, &s);
	at = row_or_other(t, system, &s);
	if (at)
		store_relaxed(kept, (hash & ~UINT64_C(255)) | (at - 1));
	return at;
}

uint32_t database_row_as(enum sql_system system, enum sql_operation operation, uint32_t of)
{
	struct tables *t = make();
	const struct database_row *r = of ? database_row(of - 1) : NULL;
	struct sql s = { .operation = operation };

	if (!t)
		return 0;
	if (r)
		memcpy(s.table, r->table, sizeof(s.table));
	return row_or_other(t, system, &s);
}

const struct database_row *database_row(uint32_t i)
{
	struct tables *t = get();

	return t && load_acquire(&t->shown->rows[i].ready) ? &t->shown->rows[i]
	                                                   : NULL; /* pairs with the release in row() */
}

static void count(struct tables *t, uint32_t number, uint64_t ns, bool failed)
{
	struct database_row *r = &t->shown->rows[number - 1];

	durations_add(&r->took, ns);
	if (failed)
		add_relaxed(&r->errors, 1);
}

/* ---- spans --------------------------------------------------------------------------------------------------------- */

static void keep_span(struct tables *t, const struct database_span *s)
{
	uint64_t number = add_relaxed(&span_head, 1), end = s->start_ns + s->ns;
	struct kept_span *k = &t->shown->spans[number % DATABASE_SPANS];
	uint64_t before;

	if (!sealed_begin(&k->number, &k->again, &before)) {
		loss_add(LOSS_DATABASE_SPANS, 1);
		return;
	}
	if (before && k->s.start_ns + k->s.ns + load_relaxed(&window_ns) > end)
		loss_add(LOSS_DATABASE_SPANS, 1);
	k->s = *s;
	sealed_end(&k->number, &k->again, number + 1);
}

static void done(struct tables *t, const struct database_span *s)
{
	count(t, s->row, s->ns, s->failed);
	if (s->request)
		keep_span(t, s);
}

/* ---- calls that return when they are done -------------------------------------------------------------------------- */

void database_begin(struct database_call *c, struct thread *th, uint32_t row_number, uint64_t now, bool below)
{
	c->th = th;
	c->start_ns = now;
	c->request = th ? load_relaxed(&th->http_now) : 0;
	c->row = row_number;
	c->outer_row = 0;
	if (!th)
		return;
	if (UNLIKELY(below)) {
		c->outer_row = load_relaxed(&th->database_row); /* the owner's: only this thread writes them */
		c->outer_since = load_relaxed(&th->database_since);
		c->outer_request = load_relaxed(&th->database_request);
	}
	store_relaxed(&th->database_since, now);
	store_relaxed(&th->database_request, c->request);
	store_release(&th->database_row, row_number); /* pairs with the acquire in database_calling */
	work_show_call(th, row_number, now, c->request);
}

void database_end(const struct database_call *c)
{
	if (!c->th)
		return;
	store_relaxed(&c->th->database_row, 0); /* database_calling sees one call or none */
	if (LIKELY(!c->outer_row)) {
		work_show_call(c->th, 0, 0, 0);
		return;
	}
	store_relaxed(&c->th->database_since, c->outer_since);
	store_relaxed(&c->th->database_request, c->outer_request);
	store_release(&c->th->database_row, c->outer_row); /* pairs with the acquire in database_calling */
	work_show_call(c->th, c->outer_row, c->outer_since, c->outer_request);
}

void database_count(const struct database_call *c, uint64_t ns, bool failed)
{
	struct tables *t = get();
	struct database_span s = { c->start_ns,      ns,     c->request, c->th ? c->th->record : 0,
		                   (uint16_t)c->row, failed, false };

	if (t && c->row)
		done(t, &s);
}

bool database_calling(const struct thread *th, struct database_span *ret_span)
{
	uint32_t number = load_acquire(&th->database_row); /* pairs with the release in database_begin */
	uint64_t since = load_relaxed(&th->database_since), now = os_now_ns();

	*ret_span = (struct database_span){ .start_ns = since,
		                            .ns = now > since ? now - since : 0,
		                            .request = load_relaxed(&th->database_request),
		                            .thread = th->record,
		                            .row = (uint16_t)number,
		                            .unfinished = true };
	atomic_thread_fence(memory_order_acquire); /* the next loads are later than those above */
	return number && ret_span->request && load_relaxed(&th->database_row) == number &&
	       load_relaxed(&th->database_since) == since;
}

/* ---- calls by handle ----------------------------------------------------------------------------------------------- */

static uint32_t call_group(const void *handle)
{
	return (uint32_t)(mix((uintptr_t)handle) >> 8) % CALL_GROUPS * CALL_GROUP;
}

/* The handle's first, or its last; NULL: it has none. */
static struct call *call_of(struct tables *t, const void *handle, bool last)
{
	uint32_t group = call_group(handle);
	struct call *found = NULL;

	if (!load_relaxed(&t->calls_in[group / CALL_GROUP])) /* who asks has taken his own himself */
		return NULL;
	for (uint32_t i = group; i < group + CALL_GROUP; i++) {
		struct call *c = &t->shown->calls[i];

		if (load_relaxed(&t->handles[i]) != (uintptr_t)handle || !load_relaxed(&c->number))
			continue;
		if (!found || (load_relaxed(&c->number) > load_relaxed(&found->number)) == last)
			found = c;
	}
	return found;
}

static struct call *take_place(struct tables *t, const void *handle)
{
	uint32_t group = call_group(handle);

	add_relaxed(&t->calls_in[group / CALL_GROUP], 1);
	for (uint32_t i = group; i < group + CALL_GROUP; i++) {
		uintptr_t none = 0;

		if (load_relaxed(&t->handles[i]) == 0 && cas_acq_rel(&t->handles[i], &none, (uintptr_t)handle))
			return &t->shown->calls[i];
	}
	sub_relaxed(&t->calls_in[group / CALL_GROUP], 1);
	return NULL;
}

static void give_back(struct tables *t, struct call *c)
{
	store_relaxed(&c->number, 0);
	atomic_thread_fence(
	        memory_order_release); /* before the next owner's stores; pairs with the fence in open_span */
	store_release(&t->handles[c - t->shown->calls], 0); /* pairs with the CAS in take_place */
	sub_relaxed(&t->calls_in[(c - t->shown->calls) / CALL_GROUP], 1);
}

void database_open(const void *handle, const struct database_call *from, uint64_t spent)
{
	struct tables *t = get();
	struct call *c;

	if (!t || !from->row)
		return;
	c = take_place(t, handle);
	if (!c) {
		c = call_of(t, handle, true);
		if (c)
			c->skipped++; /* so that the answer to this one is not taken for another's */
		loss_add(LOSS_DATABASE_OPEN, 1);
		return;
	}
	store_relaxed(&c->again, LIVE_WRITING);
	atomic_thread_fence(memory_order_release); /* for readers outside: before what follows */
	c->start_ns = from->start_ns;
	c->request = from->request;
	c->thread = from->th ? from->th->record : 0;
	c->skipped = 0;
	c->answered = c->failed = false;
	store_relaxed(&c->spent_ns, spent);
	store_relaxed(&c->step_ns, 0);
	store_relaxed(&c->row, from->row);
	sealed_end(&c->number, &c->again, add_relaxed(&call_numbers, 1) + 1); /* pairs with the acquire in open_span */
}

static void count_call(struct tables *t, const struct call *c, uint64_t ns, bool failed)
{
	struct database_span s = { c->start_ns, ns,   c->request, c->thread, (uint16_t)load_relaxed(&c->row),
		                   failed,      false };

	if (s.row)
		done(t, &s);
}

/* Those behind it that found no place stay, as a call that is not counted. */
static void finish(struct tables *t, struct call *c, uint64_t ns, bool failed)
{
	count_call(t, c, ns, failed);
	if (load_relaxed(&c->row) == 0)
		c->skipped--;
	store_relaxed(&c->row, 0);
	c->answered = c->failed = false;
	if (!c->skipped)
		give_back(t, c);
}

static uint64_t since(const struct call *c, uint64_t now)
{
	return now > c->start_ns ? now - c->start_ns : 0;
}

void database_answer(const void *handle, bool failed)
{
	struct tables *t = get();
	struct call *c = t ? call_of(t, handle, false) : NULL;

	if (!c)
		return;
	c->answered = true;
	c->failed = c->failed || failed;
}

void database_answered(const void *handle, uint64_t now)
{
	struct tables *t = get();
	struct call *c = t ? call_of(t, handle, false) : NULL;

	if (c && c->answered)
		finish(t, c, since(c, now), c->failed);
}

void database_drop(const void *handle, uint64_t now)
{
	struct tables *t = get();
	struct call *c;

	while (t && (c = call_of(t, handle, false)) != NULL) {
		c->skipped = load_relaxed(&c->row) == 0; /* finish() takes that one off */
		finish(t, c, since(c, now), c->failed || !c->answered);
	}
}

uint32_t database_stepped(const void *handle)
{
	struct tables *t = get();
	const struct call *c = t ? call_of(t, handle, false) : NULL;

	return c ? (uint32_t)(c - t->shown->calls) + 1 : 0;
}

void database_step_begin(uint32_t place, uint64_t now)
{
	store_relaxed(&get()->shown->calls[place - 1].step_ns, now); /* for the snapshot: any order will do */
}

void database_step_end(const void *handle, uint32_t place, uint64_t ns, bool last, bool failed)
{
	struct tables *t = get();
	struct call *c = &t->shown->calls[place - 1];

	if (load_relaxed(&t->handles[place - 1]) != (uintptr_t)handle)
		return;
	store_relaxed(&c->step_ns, 0);
	add_relaxed(&c->spent_ns, ns);
	if (last) {
		c->skipped = 0;
		finish(t, c, load_relaxed(&c->spent_ns), failed);
	}
}

/* What a call under way has taken: all the time since its start, or that of its steps. */
static uint64_t so_far(const struct call *c, uint64_t now)
{
	uint64_t spent = load_relaxed(&c->spent_ns), step = load_relaxed(&c->step_ns);

	if (!spent)
		return since(c, now);
	return spent + (step && now > step ? now - step : 0);
}

static bool open_span(struct tables *t, uint32_t i, struct database_span *ret_span)
{
	const struct call *c = &t->shown->calls[i];
	uint64_t number = load_acquire(&c->number); /* pairs with the release in database_open */

	if (!number)
		return false;
	*ret_span = (struct database_span){ .start_ns = c->start_ns,
		                            .ns = so_far(c, os_now_ns()),
		                            .request = c->request,
		                            .thread = c->thread,
		                            .row = (uint16_t)load_relaxed(&c->row),
		                            .unfinished = true };
	atomic_thread_fence(memory_order_acquire); /* pairs with the fence in give_back */
	return load_relaxed(&c->number) == number && ret_span->row && ret_span->request;
}

bool database_span(uint32_t i, struct database_span *ret_span)
{
	struct tables *t = get();
	struct kept_span *k;

	if (!t)
		return false;
	if (i >= DATABASE_SPANS)
		return open_span(t, i - DATABASE_SPANS, ret_span);
	k = &t->shown->spans[i];
	return sealed_copy(&k->number, ret_span, &k->s, sizeof(*ret_span));
}

/* ---- prepared statements ------------------------------------------------------------------------------------------- */

static uint64_t statement_key(const void *handle, const char *name)
{
	uint64_t h = mix((uintptr_t)handle);

	h = name ? mix(hash_of(name, h ^ 1)) : h;
	return h ? h : 1;
}

static struct statement *statement_of(struct tables *t, uint64_t key)
{
	uint64_t group = (key >> 8) % (DATABASE_STATEMENTS / STATEMENT_GROUP) * STATEMENT_GROUP;

	for (uint64_t i = group; i < group + STATEMENT_GROUP; i++)
		if (load_acquire(&t->statements[i].key) == key) /* pairs with the release in database_prepared */
			return &t->statements[i];
	return NULL;
}

void database_prepared(const void *handle, const char *name, uint32_t row_number)
{
	uint64_t key = statement_key(handle, name);
	uint64_t group = (key >> 8) % (DATABASE_STATEMENTS / STATEMENT_GROUP) * STATEMENT_GROUP;
	struct tables *t = get();
	struct statement *s = t ? statement_of(t, key) : NULL;

	if (!t)
		return;
	if (s) {
		store_relaxed(&s->row, row_number);
		return;
	}
	store_relaxed(&any_prepared, true); /* who prepares is who ends the handle */
	for (uint64_t i = group; i < group + STATEMENT_GROUP; i++) {
		uintptr_t none = 0;

		s = &t->statements[i];
		/* The handle takes the place; the key, stored last, shows it. */
		if (load_relaxed(&s->handle) == 0 && cas_acq_rel(&s->handle, &none, (uintptr_t)handle)) {
			store_relaxed(&s->row, row_number);
			store_release(&s->key, key); /* pairs with the acquire in statement_of */
			return;
		}
	}
	loss_add(LOSS_DATABASE_STATEMENTS, 1);
}

uint32_t database_prepared_row(const void *handle, const char *name)
{
	struct tables *t = get();
	const struct statement *s = t ? statement_of(t, statement_key(handle, name)) : NULL;

	return s ? load_relaxed(&s->row) : 0;
}

static void forget(struct statement *s)
{
	store_relaxed(&s->key, 0);
	store_release(&s->handle, 0); /* pairs with the CAS in database_prepared */
}

void database_unprepared(const void *handle)
{
	struct tables *t = load_relaxed(&any_prepared) ? get() : NULL;
	struct statement *s = t ? statement_of(t, statement_key(handle, NULL)) : NULL;

	if (s) {
		forget(s); /* the handle is the statement */
		return;
	}
	for (uint32_t i = 0; t && i < DATABASE_STATEMENTS; i++)
		if (load_relaxed(&t->statements[i].handle) == (uintptr_t)handle)
			forget(&t->statements[i]);
}

/* ---- fork ---------------------------------------------------------------------------------------------------------- */

/* Rows, without their figures. One that another thread was making does not become ready in the child. */
static void keep_rows(void *fresh, const void *old)
{
	const struct shown *from = old;
	struct shown *to = fresh;

	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		if (load_acquire(&from->rows[i].ready)) /* as in database_row */
			memcpy(&to->rows[i], &from->rows[i], offsetof(struct database_row, errors));
}

void database_fork_child(void)
{
	struct tables *t = get();
	uint32_t n = 0;

	if (!t)
		return;
	live_renew(LIVE_DATABASE, t->shown, sizeof(*t->shown), keep_rows);
	describe(&t->shown->head);
	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		n += load_relaxed(&t->shown->rows[i].ready) != 0;
	store_relaxed(&row_count, n);
	/* Answers are the parent's to read; who reads them in the child all the same has a call that nobody sent. */
	for (uint32_t i = 0; i < DATABASE_CALLS; i++) {
		store_relaxed(&t->handles[i], 0);
		store_relaxed(&t->calls_in[i / CALL_GROUP], 0);
	}
	store_relaxed(&span_head, 0);
}

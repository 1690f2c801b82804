/*
 * requests.c - what is known of requests.
 *
 * Shape      two mappings, made with the first request and touched as they are used. The process's own: requests under way and a
 *            stack of free numbers. Shown, in the live file: what a reader outside needs of those under way, the ring of answered
 *            ones, the slowest of the window, those that samples name, a row for each method, route and status, and a ring of
 *            spans.
 * Two copies of what is under way: a forked child needs it as it was at the fork, and shared memory goes on.
 * Invariants I1  a request under way is written by the holder of its connection's lock only; `used` is set last and cleared first.
 *            I2  a place of a ring is taken by a counter, and is a sealed row.
 *            I3  a row of routes gets its key once; its name is complete when `ready` is set.
 *            I5  a number is that of a request under way, in the stack of free ones, or one thread's spare.
 *            I4  the low bits of an id are its number among those under way: an id that the program gives back leads there.
 * Spans      only those are kept in which a CPU sample fell: the others say nothing, and at 99 Hz that is nearly all.
 * Slowest    kept when the ring is overwritten: a second table, entered by requests above its least, of which those older than
 *            the window make room first.
 */
#include "requests.h"

#include <string.h>

#include "alone.h"
#include "compiler.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "requests_shown.h"
#include "sealed.h"
#include "threads.h"
#include "units.h"
#include "work.h"

enum { ROUTES_OTHER = REQUESTS_ROUTES / 4 /* rows kept for _OTHER */, ID_BITS = 12 };
enum { SPARE_MAX = REQUESTS_OPEN / 2 /* numbers that may be a thread's; the others are for whoever needs one */ };
static_assert(REQUESTS_OPEN == 1 << ID_BITS, "I4");

struct open_request {
	_Atomic uint64_t used;    /* its id; 0: free */
	_Atomic uint64_t told;    /* its id: a profile has it, or will, as it runs; by the helper */
	_Atomic uint64_t sampled; /* its id: a sample is kept that was taken for it */
	uint32_t next;
	uint8_t cut;
	_Atomic bool handed;             /* a thread has adopted it that has not read it */
	bool before_told;                /* ... */
	uint64_t before;                 /* of work: what its thread worked on, and whether the program had said so */
	_Atomic(struct thread *) worker; /* the last that worked on it because it read it */
	struct request r;
};

struct tables {
	struct shown *shown;
	struct lock free_lock;
	uint32_t free_count, fresh; /* numbers given back; numbers never used begin at `fresh` + 1 */
	uint16_t free[REQUESTS_OPEN];
	struct open_request open[REQUESTS_OPEN + 1]; /* 0 is none */
};

static struct tables *_Atomic tables;
static _Atomic uint64_t ids, ring_head, sampled_head, span_head;
static uint64_t unshown[LIVE_REQUEST_TOTALS]; /* counted before there were tables, or without any */
static _Atomic uint32_t route_count;
static _Atomic uint64_t window_ns, latency_ns;
static _Atomic uint64_t slow_answered, slow_worst_ns; /* since the helper asked */
static void (*on_first)(void);
static _Atomic bool first_seen;

static struct lock slowest_lock;
static _Atomic uint64_t slowest_least, slowest_until; /* below that duration and before that time none enters */

void requests_init(const struct config *config)
{
	store_relaxed(&window_ns, config->window);
	store_relaxed(&latency_ns, config->latency);
}

void requests_on_first(void (*fn)(void))
{
	on_first = fn;
}

static struct tables *get(void)
{
	return load_acquire(&tables); /* pairs with the CAS in make() */
}

static struct tables *make(void)
{
	struct tables *t = get(), *mine;

	if (t)
		return t;
	mine = os_map(sizeof(*mine));
	if (mine)
		mine->shown = live_map(LIVE_REQUESTS, 0, sizeof(*mine->shown));
	if (mine && mine->shown) {
		if (cas_acq_rel(&tables, &t, mine)) {
			requests_describe(&mine->shown->head); /* for readers outside alone */
			live_activate(mine->shown);
			return mine;
		}
		live_unmap(mine->shown, sizeof(*mine->shown));
	}
	os_unmap(mine, sizeof(*mine));
	return t;
}

static void count(enum live_request_total which)
{
	struct tables *t = get();
	uint64_t *total = t ? &t->shown->head.total[which] : &unshown[which];

	if (alone()) /* as shared_add() */
		publish_plain(total, load_plain(total) + 1);
	else
		count_plain(total);
}

/* ---- under way ----------------------------------------------------------------------------------------------------- */

/* th: NULL, or the calling thread. */
static uint32_t take(struct tables *t, struct thread *th)
{
	uint32_t i = th ? th->http_spare : 0;

	if (LIKELY(i)) {
		th->http_spare = 0;
		return i;
	}
	lock_enter(&t->free_lock); /* a few instructions, and never this thread's own: GUARD_NET */
	if (t->free_count)
		i = t->free[--t->free_count];
	else if (t->fresh < REQUESTS_OPEN)
		i = ++t->fresh;
	lock_leave(&t->free_lock);
	return i;
}

/* As sealed.h has it, for the readers outside alone. */
static void show(struct tables *t, uint32_t i)
{
	struct live_request *l = &t->shown->open[i];
	const struct request *r = &t->open[i].r;

	publish_plain(&l->again, r->id);
	memcpy(&l->id, &r->id, offsetof(struct request, path));
	publish_plain(&l->number, r->id);
}

/* `method` last: with it the path is shown. */
static void show_line(struct tables *t, uint32_t i)
{
	struct live_request *l = &t->shown->open[i];
	const struct request *r = &t->open[i].r;

	memcpy(l->path, r->path, r->path_bytes);
	l->path_bytes = r->path_bytes;
	publish_plain(&l->method, r->method);
}

static void unshow(struct tables *t, uint32_t i)
{
	publish_plain(&t->shown->open[i].number, UINT64_C(0));
}

uint32_t requests_begin(struct thread *th, uint64_t now)
{
	struct tables *t = make();
	uint32_t i = t ? take(t, th) : 0;
	struct open_request *o;

	if (UNLIKELY(!load_relaxed(&first_seen)) && on_first && !exchange_acq_rel(&first_seen, true)) /* once */
		on_first();
	if (!i)
		return 0;
	o = &t->open[i];
	memset(&o->r, 0, offsetof(struct request, path));
	o->next = 0;
	store_relaxed(&o->worker, NULL);
	store_relaxed(&o->handed, false);
	o->r.id = (shared_add(&ids, 1) + 1) << ID_BITS | (i - 1);
	o->r.start_ns = now;
	o->r.thread_start = (uint16_t)(th ? th->record : 0);
	show(t, i);
	store_release(&o->used, o->r.id); /* pairs with the acquire in requests_get */
	return i;
}

const struct request *requests_open(uint32_t i)
{
	return &get()->open[i].r;
}

uint32_t *requests_next(uint32_t i)
{
	return &get()->open[i].next;
}

void requests_line(uint32_t i, enum http_method method, const char *target, size_t bytes, bool cut)
{
	struct open_request *o = &get()->open[i];
	size_t n;
	const char *path = http_path(target, bytes, &n, &cut);

	o->cut = cut || n > REQUEST_PATH_BYTES;
	n = n < REQUEST_PATH_BYTES ? n : REQUEST_PATH_BYTES;
	memcpy(o->r.path, path, n);
	o->r.path_bytes = (uint8_t)n;
	o->r.method = (uint8_t)method;
	show_line(get(), i);
}

void requests_came(uint32_t i, uint64_t bytes)
{
	struct tables *t = get();

	t->open[i].r.bytes_in += bytes;
	t->shown->open[i].bytes_in = t->open[i].r.bytes_in;
}

void requests_answers(uint32_t i, uint64_t now)
{
	struct tables *t = get();

	t->open[i].r.first_ns = now;
	t->shown->open[i].first_ns = now;
}

void requests_went(uint32_t i, uint64_t bytes, uint16_t status)
{
	struct tables *t = get();

	t->open[i].r.bytes_out += bytes;
	t->open[i].r.status = status;
	t->shown->open[i].bytes_out = t->open[i].r.bytes_out;
	t->shown->open[i].status = status;
}

/* th: as in take(). */
static void give_back(struct tables *t, uint32_t i, struct thread *th)
{
	struct open_request *o = &t->open[i];
	struct thread *worker = load_relaxed(&o->worker);
	uint64_t id = o->r.id;

	/* Whoever last worked on it has nothing to go on with. Relaxed: a thread that resumes it meanwhile ends its span at once.
	 * Others only ever make it 0, so its owner needs no CAS. */
	if (worker && load_relaxed(&worker->http_last) == id) {
		if (worker == th)
			store_relaxed(&worker->http_last, 0);
		else
			(void)cas_relaxed(&worker->http_last, &id, 0);
	}
	unshow(t, i);
	store_release(&o->used, 0);
	if (th && !th->http_spare && i <= SPARE_MAX) {
		th->http_spare = i;
		return;
	}
	lock_enter(&t->free_lock); /* likewise */
	t->free[t->free_count++] = (uint16_t)i;
	lock_leave(&t->free_lock);
}

void requests_drop(uint32_t i, bool is_request)
{
	struct tables *t = get();

	if (is_request && t->open[i].r.method)
		count(LIVE_UNANSWERED);
	give_back(t, i, NULL);
}

/* ---- routes -------------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text, size_t bytes, uint32_t method, uint32_t status)
{
	uint64_t h = (UINT64_C(14695981039346656037) ^ method) * 1099511628211u;

	h = (h ^ status) * 1099511628211u;
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ (unsigned char)text[i]) * 1099511628211u;
	h ^= h >> 29;
	return h ? h : 1;
}

/* Rows are counted before they are taken, so that at most `most` are. */
static struct request_route *row(struct tables *t, const char *name, size_t bytes, uint8_t method, uint16_t status,
                                 uint32_t most)
{
	uint64_t key = hash_of(name, bytes, method, status);

	for (uint32_t i = 0; i < REQUESTS_ROUTES; i++) {
		struct request_route *r = &t->shown->routes[(key + i) % REQUESTS_ROUTES];
		uint64_t seen = load_relaxed(&r->key);

		if (!seen) {
			if (add_relaxed(&route_count, 1) >= most) {
				sub_relaxed(&route_count, 1);
				return NULL;
			}
			if (cas_acq_rel(&r->key, &seen, key)) {
				r->method = method;
				r->status = status;
				memcpy(r->route, name, bytes);
				store_release(&r->ready, 1); /* pairs with the acquire in requests_route */
				return r;
			}
			sub_relaxed(&route_count, 1);
		}
		if (seen == key)
			return r;
	}
	return NULL;
}

/* As of a path, without the slash that the names of work do not begin with. */
static size_t name_of_work(const struct open_request *o, char name[HTTP_ROUTE_BYTES])
{
	char path[REQUEST_PATH_BYTES + 1];
	size_t n;

	path[0] = '/';
	memcpy(path + 1, o->r.path, o->r.path_bytes);
	n = http_route(path, o->r.path_bytes + 1u, o->cut, name);
	memmove(name, name + 1, n); /* with its NUL */
	return n - 1;
}

static struct request_route *route_of(struct tables *t, const struct open_request *o)
{
	static const char other[] = "_OTHER";
	char name[HTTP_ROUTE_BYTES];
	size_t n = o->r.method == HTTP_METHOD_WORK ? name_of_work(o, name)
	           : o->r.path_bytes               ? http_route(o->r.path, o->r.path_bytes, o->cut, name)
	                                           : 0;
	struct request_route *r = row(t, name, n, o->r.method, o->r.status, REQUESTS_ROUTES - ROUTES_OTHER - 1);

	if (r)
		return r;
	loss_add(LOSS_HTTP_ROUTES, 1);
	r = row(t, other, sizeof(other) - 1, o->r.method, o->r.status, REQUESTS_ROUTES - 1);
	return r ? r : row(t, other, sizeof(other) - 1, HTTP_METHOD_OTHER, 0, REQUESTS_ROUTES);
}

static_assert((int)ROUTE_MEMO_PATH == (int)REQUEST_PATH_BYTES, "a memo has the whole path");

/* As route_of(): what is asked for again and again has its row at hand. th: the calling thread, or NULL. */
static struct request_route *route_again(struct tables *t, const struct open_request *o, struct thread *th)
{
	const struct request *r = &o->r;
	struct route_memo *m;

	if (!th)
		return route_of(t, o);
	m = &th->http_route;
	if (LIKELY(m->row != NULL) && m->status == r->status && m->method == r->method && m->cut == o->cut &&
	    m->path_bytes == r->path_bytes && memcmp(m->path, r->path, r->path_bytes) == 0)
		return m->row;
	m->row = route_of(t, o);
	/* One that is counted as _OTHER is counted as a loss each time. */
	if (m->row && load_relaxed(&route_count) >= REQUESTS_ROUTES - ROUTES_OTHER - 1) {
		struct request_route *row = m->row;

		m->row = NULL;
		return row;
	}
	m->status = r->status;
	m->method = r->method;
	m->cut = o->cut;
	m->path_bytes = r->path_bytes;
	memcpy(m->path, r->path, r->path_bytes);
	return m->row;
}

/* ---- answered ------------------------------------------------------------------------------------------------------ */

static void write_kept(struct kept *k, uint64_t number, const struct request *r)
{
	uint64_t before;

	if (!sealed_begin(&k->number, &k->again, &before)) {
		loss_add(LOSS_HTTP_RING, 1);
		return;
	}
	k->r = *r;
	sealed_end(&k->number, &k->again, number);
}

static bool read_kept(struct kept *k, struct request *ret)
{
	return sealed_copy(&k->number, ret, &k->r, sizeof(*ret));
}

static void to_ring(struct tables *t, const struct request *r)
{
	uint64_t number = shared_add(&ring_head, 1);

	write_kept(&t->shown->ring[number % REQUESTS_RING], number + 1, r);
}

/* Where every request has its samples' routes in the ring, this is the same again; where thousands come in a second, the ring is
 * those of a moment, and these are the few that samples name. */
static void to_sampled(struct tables *t, const struct open_request *o)
{
	uint64_t number;

	if (LIKELY(load_relaxed(&o->sampled) != o->r.id))
		return;
	number = add_relaxed(&sampled_head, 1);
	write_kept(&t->shown->sampled[number % REQUESTS_SAMPLED], number + 1, &o->r);
}

/* The place of the least, or of one older than the window. */
static struct kept *slowest_place(struct tables *t, uint64_t now)
{
	uint64_t window = load_relaxed(&window_ns), least = UINT64_MAX, until = UINT64_MAX;
	struct kept *place = &t->shown->slowest[0];

	for (unsigned i = 0; i < REQUESTS_SLOWEST; i++) {
		struct kept *k = &t->shown->slowest[i];
		uint64_t ns = !load_relaxed(&k->number) || k->r.end_ns + window < now ? 0 : k->r.end_ns - k->r.start_ns;

		if (ns < least) {
			least = ns;
			place = k;
		}
		if (ns && k->r.end_ns + window < until)
			until = k->r.end_ns + window;
	}
	store_relaxed(&slowest_least, least);
	store_relaxed(&slowest_until, until);
	return place;
}

static void to_slowest(struct tables *t, const struct request *r)
{
	uint64_t ns = r->end_ns - r->start_ns;
	struct kept *place;

	if (ns < load_relaxed(&slowest_least) && r->end_ns < load_relaxed(&slowest_until))
		return;
	lock_enter(&slowest_lock); /* likewise, and rare */
	place = slowest_place(t, r->end_ns);
	if (ns > load_relaxed(&slowest_least)) {
		write_kept(place, r->id, r);
		(void)slowest_place(t, r->end_ns);
	}
	lock_leave(&slowest_lock);
}

void requests_done_unseen(void)
{
	count(LIVE_UNTIMED);
	count(LIVE_ANSWERED);
}

static void count_slow(struct open_request *o, uint64_t ns)
{
	uint64_t worst = load_relaxed(&slow_worst_ns);

	count(LIVE_SLOW);
	if (load_relaxed(&o->told) == o->r.id)
		return;
	while (ns > worst && !cas_relaxed(&slow_worst_ns, &worst, ns))
		;
	add_relaxed(&slow_answered, 1); /* relaxed: figures, which may be late by a look */
}

void requests_done(uint32_t i, struct thread *th, uint64_t now)
{
	struct tables *t = get();
	struct open_request *o = &t->open[i];
	uint64_t limit = load_relaxed(&latency_ns);
	struct request_route *r;

	o->r.end_ns = now;
	o->r.thread_end = (uint16_t)(th ? th->record : 0);
	if (th && load_relaxed(&th->http_now) == o->r.id)
		requests_leave(th, now);
	count(LIVE_ANSWERED);
	if (limit && now - o->r.start_ns > limit && o->r.method != HTTP_METHOD_WORK)
		count_slow(o, now - o->r.start_ns);
	r = route_again(t, o, th);
	if (r)
		durations_add(&r->took, now - o->r.start_ns);
	else
		count(LIVE_UNTIMED);
	to_slowest(t, &o->r);
	to_ring(t, &o->r);
	to_sampled(t, o);
	give_back(t, i, th);
}

/* ---- who works on what --------------------------------------------------------------------------------------------- */

static struct request_span span_of(const struct thread *th, uint64_t now)
{
	return (struct request_span){ load_relaxed(&th->http_since), now, load_relaxed(&th->http_now), th->record,
		                      load_relaxed(&th->http_shared) };
}

static void keep_span(const struct request_span *s)
{
	struct tables *t = get();
	uint64_t number = add_relaxed(&span_head, 1), before;
	struct kept_span *k = &t->shown->spans[number % REQUESTS_SPANS];

	if (!sealed_begin(&k->number, &k->again, &before)) {
		loss_add(LOSS_HTTP_SPANS, 1);
		return;
	}
	if (before && k->s.to_ns + load_relaxed(&window_ns) > s->to_ns)
		loss_add(LOSS_HTTP_SPANS, 1);
	k->s = *s;
	sealed_end(&k->number, &k->again, number + 1);
}

void requests_sampled(uint64_t id)
{
	struct tables *t = get();
	struct open_request *o = t ? &t->open[id % REQUESTS_OPEN + 1] : NULL;

	/* Relaxed: a word that only its request's end compares with its id. One that is answered meanwhile misses it. */
	if (o && load_relaxed(&o->used) == id)
		store_relaxed(&o->sampled, id);
}

void requests_leave(struct thread *th, uint64_t now)
{
	th->http_told = false;
	if (!load_relaxed(&th->http_now))
		return;
	/* A sample that fell into the recorder is recorded when the thread leaves it. */
	if (load_relaxed(&th->ring_head) != th->http_samples || th->deferred_depth) {
		struct request_span s = span_of(th, now);

		keep_span(&s);
		requests_sampled(s.request);
	}
	store_relaxed(&th->http_now, 0);
	work_show_request(th, 0, 0, false);
}

void requests_rest(struct thread *th, uint64_t now)
{
	if (!th->http_told) /* else it waits for something that the request needs */
		requests_leave(th, now);
}

static void work(struct thread *th, uint64_t id, bool shared, uint64_t now)
{
	th->http_samples = load_relaxed(&th->ring_head);
	store_relaxed(&th->http_start, get()->open[id % REQUESTS_OPEN + 1].r.start_ns);
	store_relaxed(&th->http_since, now);
	store_relaxed(&th->http_shared, shared);
	store_relaxed(&th->http_now, id);
	work_show_request(th, id, now, shared);
}

void requests_work(struct thread *th, uint32_t i, uint64_t now)
{
	struct open_request *o = &get()->open[i];
	struct thread *before = load_relaxed(&o->worker);
	uint64_t id = o->r.id;

	if (load_relaxed(&th->http_now) == id)
		return;
	if (before && before != th)
		(void)cas_relaxed(&before->http_last, &id, 0); /* that thread does not go on with it */
	requests_leave(th, now);
	store_relaxed(&o->worker, th);
	store_relaxed(&th->http_last, o->r.id);
	work(th, o->r.id, threads_connections(th) > 1, now);
}

void requests_resume(struct thread *th, uint64_t now)
{
	uint64_t last = load_relaxed(&th->http_last);

	/* With one connection to answer, what woke the thread concerns that. With more nobody knows. */
	if (last && !load_relaxed(&th->http_now) && threads_connections(th) == 1)
		work(th, last, false, now);
}

/* ---- what the program tells ---------------------------------------------------------------------------------------- */

/* NULL: it is not under way (any more). */
static struct open_request *open_of(uint64_t id)
{
	struct tables *t = id ? get() : NULL;
	struct open_request *o = t ? &t->open[id % REQUESTS_OPEN + 1] : NULL;

	return o && load_acquire(&o->used) == id ? o : NULL; /* pairs with the release in requests_begin */
}

void requests_adopt(struct thread *th, uint64_t id, uint64_t now)
{
	struct open_request *o = open_of(id);
	struct thread *reader = o ? load_relaxed(&o->worker) : NULL;
	uint64_t handed = id;

	if (o && th->http_told && load_relaxed(&th->http_now) == id)
		return;
	requests_leave(th, now);
	store_relaxed(&th->http_last, 0);
	/* Who read it has handed it on: that thread does not go on with it behind its next wait. */
	if (reader)
		(void)cas_relaxed(&reader->http_last, &handed, 0);
	if (!o)
		return;
	if (reader != th)
		store_relaxed(&o->handed, true);
	th->http_told = true;
	work(th, id, false, now);
}

bool requests_handed(uint32_t i)
{
	return load_relaxed(&get()->open[i].handed);
}

uint64_t requests_work_begin(struct thread *th, const char *name, uint64_t now)
{
	uint32_t i = requests_begin(th, now);
	struct open_request *o;
	size_t n = strnlen(name, REQUEST_PATH_BYTES + 1);

	if (!i) {
		loss_add(LOSS_HTTP_OPEN_FULL, 1);
		requests_done_unseen();
		return 0;
	}
	o = &get()->open[i];
	o->cut = n > REQUEST_PATH_BYTES;
	n = n < REQUEST_PATH_BYTES ? n : REQUEST_PATH_BYTES;
	for (size_t k = 0; k < n; k++)
		o->r.path[k] = (unsigned char)name[k] > ' ' ? name[k] : '_';
	o->r.path_bytes = (uint8_t)n;
	o->before = th ? load_relaxed(&th->http_now) : 0;
	o->before_told = th && th->http_told;
	o->r.method = HTTP_METHOD_WORK;
	show_line(get(), i);
	if (th) {
		requests_leave(th, now);
		th->http_told = true;
		work(th, o->r.id, false, now);
	}
	return o->r.id;
}

void requests_work_end(struct thread *th, uint64_t id, uint64_t now)
{
	struct open_request *o = open_of(id);
	bool mine = th && load_relaxed(&th->http_now) == id, told;
	uint64_t before;

	if (!o || o->r.method != HTTP_METHOD_WORK)
		return;
	before = o->before;
	told = o->before_told;
	/* Once: the program may end it twice, in two threads. */
	if (!cas_acq_rel(&o->used, &(uint64_t){ id }, 0))
		return;
	requests_done((uint32_t)(id % REQUESTS_OPEN + 1), th, now);
	if (!mine || !open_of(before))
		return;
	th->http_told = told;
	work(th, before, !told && threads_connections(th) > 1, now);
}

/* ---- the trigger --------------------------------------------------------------------------------------------------- */

uint64_t requests_slow_answered(uint64_t *ret_worst_ns)
{
	*ret_worst_ns = exchange_acq_rel(&slow_worst_ns, 0); /* pairs with nothing: figures */
	return exchange_acq_rel(&slow_answered, 0);
}

/* Calls `visit` with every request under way and how long it has been. They change meanwhile: what is seen was so at some time. */
static void each_running(uint64_t now, void (*visit)(void *context, struct open_request *o, uint64_t id, uint64_t ns),
                         void *context)
{
	struct tables *t = get();
	uint32_t most = t ? load_plain(&t->fresh) : 0;

	for (uint32_t i = 1; i <= most; i++) {
		struct open_request *o = &t->open[i];
		uint64_t id = load_acquire(&o->used), start; /* pairs with the release in requests_begin */
		uint8_t method;

		if (!id)
			continue;
		start = load_plain(&o->r.start_ns);
		method = load_plain(&o->r.method);
		/* Without a request line it may yet turn out to be none. Work of the program's own may take as long as it likes. */
		if (method && method != HTTP_METHOD_WORK && start < now && load_relaxed(&o->used) == id)
			visit(context, o, id, now - start);
	}
}

static void see_running(void *context, struct open_request *o, uint64_t id, uint64_t ns)
{
	struct requests_running *r = context;
	uint64_t limit = load_relaxed(&latency_ns);

	if (!limit || load_relaxed(&o->told) == id)
		return;
	if (ns <= limit) {
		r->next_slow_ns = limit - ns < r->next_slow_ns ? limit - ns : r->next_slow_ns;
		return;
	}
	r->count++;
	if (ns > r->worst_ns) {
		r->worst_ns = ns;
		r->id = id;
	}
}

struct requests_running requests_running(uint64_t now)
{
	struct requests_running r = { 0, 0, 0, UINT64_MAX };

	each_running(now, see_running, &r);
	if (r.next_slow_ns != UINT64_MAX)
		r.next_slow_ns += now + 1;
	return r;
}

static void tell(void *context, struct open_request *o, uint64_t id, uint64_t ns)
{
	(void)context;
	if (ns > load_relaxed(&latency_ns))
		store_relaxed(&o->told, id); /* if it has ended just now, it is no other's */
}

void requests_tell(uint64_t now)
{
	each_running(now, tell, NULL);
}

bool requests_is_running(uint64_t id, uint64_t now, uint64_t *ret_ns)
{
	struct open_request *o = open_of(id);
	uint64_t start = o ? load_plain(&o->r.start_ns) : 0;

	*ret_ns = 0;
	if (!o || open_of(id) != o || start >= now)
		return false;
	*ret_ns = now - start;
	return true;
}

/* ---- snapshot ------------------------------------------------------------------------------------------------------ */

static uint64_t total(enum live_request_total which)
{
	struct tables *t = get();

	return load_plain(&unshown[which]) + (t ? load_plain(&t->shown->head.total[which]) : 0);
}

struct requests_totals requests_totals(void)
{
	return (struct requests_totals){ total(LIVE_ANSWERED), total(LIVE_SLOW), total(LIVE_UNANSWERED),
		                         total(LIVE_UNTIMED) };
}

bool requests_get(uint32_t i, struct request *ret_request)
{
	struct tables *t = get();
	struct open_request *o;

	if (!t)
		return false;
	if (i < REQUESTS_RING)
		return read_kept(&t->shown->ring[i], ret_request);
	i -= REQUESTS_RING;
	if (i < REQUESTS_SLOWEST)
		return read_kept(&t->shown->slowest[i], ret_request);
	i -= REQUESTS_SLOWEST;
	if (i < REQUESTS_SAMPLED)
		return read_kept(&t->shown->sampled[i], ret_request);
	o = &t->open[i - REQUESTS_SAMPLED + 1];
	if (!load_acquire(&o->used)) /* pairs with the release in requests_begin */
		return false;
	*ret_request = o->r;
	atomic_thread_fence(memory_order_acquire); /* pairs with the release in give_back */
	/* Without a request line it may yet turn out to be none. */
	return load_relaxed(&o->used) == ret_request->id && ret_request->method &&
	       ret_request->path_bytes <= REQUEST_PATH_BYTES;
}

bool requests_span(uint32_t i, struct request_span *ret_span)
{
	struct tables *t = get();
	struct kept_span *k = t ? &t->shown->spans[i] : NULL;

	return k && sealed_copy(&k->number, ret_span, &k->s, sizeof(*ret_span));
}

const struct request_route *requests_route(uint32_t i)
{
	struct tables *t = get();

	return t && load_acquire(&t->shown->routes[i].ready) ? &t->shown->routes[i]
	                                                     : NULL; /* pairs with the release in row() */
}

bool requests_working(const struct thread *th, struct request_span *ret_span)
{
	*ret_span = span_of(th, os_now_ns());
	return ret_span->request && ret_span->request == load_relaxed(&th->http_now) &&
	       ret_span->from_ns <= ret_span->to_ns;
}

/* ---- fork ---------------------------------------------------------------------------------------------------------- */

void requests_fork_prepare(void)
{
	struct tables *t = get();

	lock_enter(&slowest_lock);
	if (t)
		lock_enter(&t->free_lock);
}

void requests_fork_parent(void)
{
	struct tables *t = get();

	if (t)
		lock_leave(&t->free_lock);
	lock_leave(&slowest_lock);
}

/* Records are counted anew in a child. The numbers that threads kept, or had just taken, are free: those threads are not here. */
static void child_numbers(struct tables *t)
{
	t->free_count = 0;
	for (uint32_t i = 1; i <= t->fresh; i++) {
		t->open[i].r.thread_start = 0;
		if (!load_relaxed(&t->open[i].used))
			t->free[t->free_count++] = (uint16_t)i;
	}
	if (tls_self.thread) { /* as of all (threads_fork_child) */
		tls_self.thread->http_spare = 0;
		tls_self.thread->http_route.row = NULL;
	}
}

/* The parent's are shown in its file. */
static void show_again(struct tables *t)
{
	live_renew(LIVE_REQUESTS, t->shown, sizeof(*t->shown), NULL);
	requests_describe(&t->shown->head);
	for (uint32_t i = 1; i <= t->fresh; i++) {
		if (!load_relaxed(&t->open[i].used))
			continue;
		show(t, i);
		show_line(t, i);
	}
}

void requests_fork_child(void)
{
	struct tables *t = get();

	requests_fork_parent();
	memset(unshown, 0, sizeof(unshown));
	store_relaxed(&route_count, 0);
	store_relaxed(&slow_answered, 0);
	store_relaxed(&slow_worst_ns, 0);
	store_relaxed(&first_seen, false);
	store_relaxed(&slowest_least, 0);
	store_relaxed(&slowest_until, 0);
	if (t) {
		child_numbers(t);
		show_again(t);
	}
	store_relaxed(&ring_head, 0);
	store_relaxed(&sampled_head, 0);
	store_relaxed(&span_head, 0);
}

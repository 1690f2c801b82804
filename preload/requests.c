/*
 * requests.c - what is known of requests.
 *
 * Shape      one mapping, made with the first request and touched as it is used: requests under way (a stack of free numbers), the
 *            ring of answered ones, the slowest of the window, a row for each method, route and status, and a ring of spans.
 * Invariants I1  a request under way is written by the holder of its connection's lock only; `used` is set last and cleared first.
 *            I2  a place of a ring is taken by a counter; its number is 0 while it is written, and is stored last.
 *            I3  a row of routes gets its key once; its name is complete when `ready` is set.
 * Spans      only those are kept in which a CPU sample fell: the others say nothing, and at 99 Hz that is nearly all.
 * Slowest    kept when the ring is overwritten: a second table, entered by requests above its least, of which those older than
 *            the window make room first.
 */
#include "requests.h"

#include <string.h>

#include "compiler.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "threads.h"

enum { ROUTES_OTHER = REQUESTS_ROUTES / 4 /* rows kept for _OTHER */ };

struct open_request {
	_Atomic uint32_t used;
	uint32_t next;
	uint8_t cut;
	struct thread *worker; /* the last that worked on it */
	struct request r;
};

struct kept {
	_Atomic uint64_t number; /* 0: none, or being written */
	struct request r;
};

struct kept_span {
	_Atomic uint64_t number;
	struct request_span s;
};

struct tables {
	struct lock free_lock;
	uint32_t free_count, fresh; /* numbers given back; numbers never used begin at `fresh` + 1 */
	uint16_t free[REQUESTS_OPEN];
	struct open_request open[REQUESTS_OPEN + 1]; /* 0 is none */
	struct kept ring[REQUESTS_RING], slowest[REQUESTS_SLOWEST];
	struct kept_span spans[REQUESTS_SPANS];
	struct request_route routes[REQUESTS_ROUTES];
};

static struct tables *_Atomic tables;
static _Atomic uint64_t ids, ring_head, span_head, answered, slow, unanswered;
static _Atomic uint32_t route_count;
static _Atomic uint64_t window_ns, latency_ns;

static struct lock slowest_lock;
static _Atomic uint64_t slowest_least, slowest_until; /* below that duration and before that time none enters */

void requests_init(const struct config *config)
{
	store_relaxed(&window_ns, config->window);
	store_relaxed(&latency_ns, config->latency);
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
	if (!mine || cas_acq_rel(&tables, &t, mine))
		return mine;
	os_unmap(mine, sizeof(*mine));
	return t;
}

/* ---- under way ----------------------------------------------------------------------------------------------------- */

static uint32_t take(struct tables *t)
{
	uint32_t i = 0;

	lock_enter(&t->free_lock); /* a few instructions, and never this thread's own: GUARD_NET */
	if (t->free_count)
		i = t->free[--t->free_count];
	else if (t->fresh < REQUESTS_OPEN)
		i = ++t->fresh;
	lock_leave(&t->free_lock);
	return i;
}

uint32_t requests_begin(struct thread *th, uint64_t now)
{
	struct tables *t = make();
	uint32_t i = t ? take(t) : 0;
	struct open_request *o;

	if (!i)
		return 0;
	o = &t->open[i];
	memset(&o->r, 0, offsetof(struct request, path));
	o->next = 0;
	o->worker = NULL;
	o->r.id = add_relaxed(&ids, 1) + 1;
	o->r.start_ns = now;
	o->r.thread_start = (uint16_t)(th ? th->record : 0);
	store_release(&o->used, 1); /* pairs with the acquire in requests_get */
	return i;
}

struct request *requests_open(uint32_t i)
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
}

static void give_back(struct tables *t, uint32_t i)
{
	struct open_request *o = &t->open[i];
	uint64_t id = o->r.id;

	/* Whoever last worked on it has nothing to go on with. Relaxed: a thread that resumes it meanwhile ends its span at once. */
	if (o->worker)
		(void)cas_relaxed(&o->worker->http_last, &id, 0);
	store_release(&o->used, 0);
	lock_enter(
	        &t->free_lock); /* a few instructions; the holder is never interrupted by its own thread (GUARD_NET) */
	t->free[t->free_count++] = (uint16_t)i;
	lock_leave(&t->free_lock);
}

void requests_drop(uint32_t i, bool count)
{
	struct tables *t = get();

	if (count && t->open[i].r.method)
		add_relaxed(&unanswered, 1);
	give_back(t, i);
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
		struct request_route *r = &t->routes[(key + i) % REQUESTS_ROUTES];
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

static struct request_route *route_of(struct tables *t, const struct open_request *o)
{
	static const char other[] = "_OTHER";
	char name[HTTP_ROUTE_BYTES];
	size_t n = o->r.path_bytes ? http_route(o->r.path, o->r.path_bytes, o->cut, name) : 0;
	struct request_route *r = row(t, name, n, o->r.method, o->r.status, REQUESTS_ROUTES - ROUTES_OTHER - 1);

	if (r)
		return r;
	loss_add(LOSS_HTTP_ROUTES, 1);
	r = row(t, other, sizeof(other) - 1, o->r.method, o->r.status, REQUESTS_ROUTES - 1);
	return r ? r : row(t, other, sizeof(other) - 1, HTTP_METHOD_OTHER, 0, REQUESTS_ROUTES);
}

/* ---- answered ------------------------------------------------------------------------------------------------------ */

static void write_kept(struct kept *k, uint64_t number, const struct request *r)
{
	store_relaxed(&k->number, 0);
	atomic_thread_fence(memory_order_release); /* before what follows; pairs with the fence in read_kept */
	k->r = *r;
	store_release(&k->number, number); /* pairs with the acquire in read_kept */
}

static bool read_kept(struct kept *k, struct request *ret)
{
	uint64_t number = load_acquire(&k->number);

	if (!number)
		return false;
	*ret = k->r;
	atomic_thread_fence(memory_order_acquire); /* pairs with the fence in write_kept */
	return load_relaxed(&k->number) == number;
}

static void to_ring(struct tables *t, const struct request *r)
{
	uint64_t number = add_relaxed(&ring_head, 1);
	struct kept *k = &t->ring[number % REQUESTS_RING];

	if (number >= REQUESTS_RING && load_relaxed(&k->number) && k->r.end_ns + load_relaxed(&window_ns) > r->end_ns)
		loss_add(LOSS_HTTP_RING, 1);
	write_kept(k, number + 1, r);
}

/* The place of the least, or of one older than the window. */
static struct kept *slowest_place(struct tables *t, uint64_t now)
{
	uint64_t window = load_relaxed(&window_ns), least = UINT64_MAX, until = UINT64_MAX;
	struct kept *place = &t->slowest[0];

	for (unsigned i = 0; i < REQUESTS_SLOWEST; i++) {
		struct kept *k = &t->slowest[i];
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
	add_relaxed(&answered, 1);
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
		requests_rest(th, now);
	add_relaxed(&answered, 1);
	if (limit && now - o->r.start_ns > limit)
		add_relaxed(&slow, 1);
	r = route_of(t, o);
	if (r)
		durations_add(&r->count, &r->sum_ns, &r->max_ns, r->bucket, now - o->r.start_ns);
	to_slowest(t, &o->r);
	to_ring(t, &o->r);
	give_back(t, i);
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
	uint64_t number = add_relaxed(&span_head, 1);
	struct kept_span *k = &t->spans[number % REQUESTS_SPANS];

	if (load_relaxed(&k->number) && k->s.to_ns + load_relaxed(&window_ns) > s->to_ns)
		loss_add(LOSS_HTTP_SPANS, 1);
	store_relaxed(&k->number, 0);
	atomic_thread_fence(memory_order_release); /* as in write_kept */
	k->s = *s;
	store_release(&k->number, number + 1);
}

void requests_rest(struct thread *th, uint64_t now)
{
	if (!load_relaxed(&th->http_now))
		return;
	/* A sample that fell into the recorder is recorded when the thread leaves it. */
	if (load_relaxed(&th->ring_head) != th->http_samples || th->deferred_depth) {
		struct request_span s = span_of(th, now);

		keep_span(&s);
	}
	store_relaxed(&th->http_now, 0);
}

static void work(struct thread *th, uint64_t id, uint64_t now)
{
	th->http_samples = load_relaxed(&th->ring_head);
	store_relaxed(&th->http_since, now);
	store_relaxed(&th->http_shared, load_relaxed(&th->http_connections) > 1);
	store_relaxed(&th->http_now, id);
}

void requests_work(struct thread *th, uint32_t i, uint64_t now)
{
	struct open_request *o = &get()->open[i];

	if (load_relaxed(&th->http_now) == o->r.id)
		return;
	requests_rest(th, now);
	o->worker = th;
	store_relaxed(&th->http_last, o->r.id);
	work(th, o->r.id, now);
}

void requests_resume(struct thread *th, uint64_t now)
{
	uint64_t last = load_relaxed(&th->http_last);

	/* With one connection to answer, what woke the thread concerns that. With more nobody knows. */
	if (last && !load_relaxed(&th->http_now) && load_relaxed(&th->http_connections) == 1)
		work(th, last, now);
}

/* ---- snapshot ------------------------------------------------------------------------------------------------------ */

struct requests_totals requests_totals(void)
{
	return (struct requests_totals){ load_relaxed(&answered), load_relaxed(&slow), load_relaxed(&unanswered) };
}

bool requests_get(uint32_t i, struct request *ret_request)
{
	struct tables *t = get();
	struct open_request *o;

	if (!t)
		return false;
	if (i < REQUESTS_RING)
		return read_kept(&t->ring[i], ret_request);
	i -= REQUESTS_RING;
	if (i < REQUESTS_SLOWEST)
		return read_kept(&t->slowest[i], ret_request);
	o = &t->open[i - REQUESTS_SLOWEST + 1];
	if (!load_acquire(&o->used)) /* pairs with the release in requests_begin */
		return false;
	*ret_request = o->r;
	atomic_thread_fence(memory_order_acquire); /* pairs with the release in give_back */
	/* Without a request line it may yet turn out to be none. */
	return load_relaxed(&o->used) && ret_request->id == o->r.id && ret_request->method &&
	       ret_request->path_bytes <= REQUEST_PATH_BYTES;
}

bool requests_span(uint32_t i, struct request_span *ret_span)
{
	struct tables *t = get();
	uint64_t number = t ? load_acquire(&t->spans[i].number) : 0;

	if (!number)
		return false;
	*ret_span = t->spans[i].s;
	atomic_thread_fence(memory_order_acquire); /* as in read_kept */
	return load_relaxed(&t->spans[i].number) == number;
}

const struct request_route *requests_route(uint32_t i)
{
	struct tables *t = get();

	return t && load_acquire(&t->routes[i].ready) ? &t->routes[i] : NULL; /* pairs with the release in row() */
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

void requests_fork_child(void)
{
	struct tables *t = get();

	requests_fork_parent();
	store_relaxed(&answered, 0);
	store_relaxed(&slow, 0);
	store_relaxed(&unanswered, 0);
	store_relaxed(&route_count, 0);
	store_relaxed(&slowest_least, 0);
	store_relaxed(&slowest_until, 0);
	for (uint32_t i = 0; t && i < REQUESTS_SLOWEST; i++)
		store_relaxed(&t->slowest[i].number, 0);
	for (uint32_t i = 0; t && i < REQUESTS_RING && i < load_relaxed(&ring_head); i++)
		store_relaxed(&t->ring[i].number, 0);
	for (uint32_t i = 0; t && i < REQUESTS_SPANS && i < load_relaxed(&span_head); i++)
		store_relaxed(&t->spans[i].number, 0);
	for (uint32_t i = 0; t && i < REQUESTS_ROUTES; i++)
		if (load_relaxed(&t->routes[i].key))
			memset(&t->routes[i], 0, sizeof(t->routes[i]));
	/* Records are counted anew in a child. */
	for (uint32_t i = 1; t && i <= t->fresh; i++)
		t->open[i].r.thread_start = 0;
	store_relaxed(&ring_head, 0);
	store_relaxed(&span_head, 0);
}

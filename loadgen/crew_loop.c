/*
 * crew_loop.c - users that take their turns on one thread.
 *
 * States       a member is ABSENT (has not begun, or is through), WAITING for an arrival, RUNNING an iteration, or SLEEPING: in an
 *              iteration, or until it may begin one. SLEEPING ones stand in a heap by the moment they wake.
 * Ends         a scenario hands out no iteration from its end on; its members under way have graceful_ns more, then they are cut
 *              off. `alive` counts members that have begun and are not through: the loop ends when it is 0 and no arrival is left.
 * Arrivals     as in worker.c: starts are arithmetic, those that are overdue are numbers between `next` and `due`.
 * Fairness     a member whose iterations neither ask nor sleep gives way after TURNS_MAX of them.
 */
#include "crew_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "crew_line.h"
#include "net.h"

enum { EVENTS_MAX = 256, TURNS_MAX = 64 };
static const uint64_t wait_max_ns = NS_PER_S, scan_gap_ns = NS_PER_MS;

enum member_state { ABSENT, WAITING, RUNNING, SLEEPING };

struct post; /* one scenario on this worker */

struct member {
	struct post *post;
	void *user;
	uint64_t index;  /* in the scenario, from 0, over all workers */
	uint64_t number; /* of the run, from 1 */
	uint64_t wake_ns, intended_ns, began_ns;
	uint64_t iterations; /* begun */
	uint64_t under_way;  /* requests */
	uint64_t heap_at;    /* place in the heap, from 1; 0: not in it */
	struct line *own;    /* idle connections */
	uint8_t state;
	bool in_iteration, is_through, is_driven, has_begun;
};

struct post {
	const struct crew_scenario *scenario;
	uint32_t number;
	struct member *members;
	uint64_t count, batch, from_ns, until_ns, cut_ns;
	struct schedule_arrivals next, due;
	struct member **waiting;
	uint64_t waiting_count, fresh; /* fresh: members that were never used */
	bool is_cut;
};

struct loop {
	struct crew_worker *w;
	const struct crew_plan *plan;
	struct lines lines;
	struct post *posts;
	struct member **heap; /* [0] is the earliest */
	uint64_t heap_count, alive, measure_ns;
	bool stopping;
};

int crew_worker_init(struct crew_worker *w, struct crew_common *common, uint64_t index, const struct sample_sink *sink)
{
	*w = (struct crew_worker){ .common = common, .index = index, .sink = sink, .epoll_fd = -1, .wake_fd = -1 };
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = w->epoll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0 || net_watch(w->epoll_fd, w->wake_fd, NULL) < 0) {
		int code = errno;

		crew_worker_done(w);
		return -code;
	}
	return 0;
}

void crew_worker_done(struct crew_worker *w)
{
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd);
	w->wake_fd = w->epoll_fd = -1;
}

void crew_worker_wake(const struct crew_worker *w)
{
	uint64_t one = 1;

	(void)!write(w->wake_fd, &one, sizeof(one)); /* fails only if a wake-up is pending already */
}

/* ---- the heap of those who sleep ---- */

static void heap_put(struct loop *l, uint64_t at, struct member *m)
{
	l->heap[at] = m;
	m->heap_at = at + 1;
}

static void heap_up(struct loop *l, uint64_t at)
{
	struct member *m = l->heap[at];

	for (; at > 0 && l->heap[(at - 1) / 2]->wake_ns > m->wake_ns; at = (at - 1) / 2)
		heap_put(l, at, l->heap[(at - 1) / 2]);
	heap_put(l, at, m);
}

static void heap_down(struct loop *l, uint64_t at)
{
	struct member *m = l->heap[at];

	for (uint64_t child; (child = 2 * at + 1) < l->heap_count; at = child) {
		if (child + 1 < l->heap_count && l->heap[child + 1]->wake_ns < l->heap[child]->wake_ns)
			child++;
		if (l->heap[child]->wake_ns >= m->wake_ns)
			break;
		heap_put(l, at, l->heap[child]);
	}
	heap_put(l, at, m);
}

static void sleep_until(struct loop *l, struct member *m, uint64_t wake_ns)
{
	m->state = SLEEPING;
	m->wake_ns = wake_ns;
	l->heap[l->heap_count] = m; /* there is room for every member */
	heap_up(l, l->heap_count++);
}

static void wake(struct loop *l, struct member *m)
{
	uint64_t at = m->heap_at;
	struct member *last;

	if (at == 0)
		return;
	m->heap_at = 0;
	last = l->heap[--l->heap_count];
	if (last == m)
		return;
	heap_put(l, at - 1, last);
	heap_down(l, at - 1);
	heap_up(l, last->heap_at - 1);
}

/* ---- iterations ---- */

static bool is_arrivals(const struct member *m)
{
	return m->post->scenario->executor == CREW_ARRIVAL_RATE;
}

static void leave(struct loop *l, struct member *m)
{
	wake(l, m);
	m->state = ABSENT;
	m->is_through = true;
	lines_forget(&l->lines, &m->own);
	l->alive--;
}

static void tell_iteration(struct loop *l, struct member *m, bool cut_off)
{
	const struct sample_iteration sample = { .intended_ns = m->intended_ns,
		                                 .began_ns = m->began_ns,
		                                 .end_ns = l->lines.env.now_ns,
		                                 .user = (uint32_t)m->number,
		                                 .scenario = m->post->number,
		                                 .cut_off = cut_off };

	m->in_iteration = false;
	*(cut_off ? &l->w->cut_off : &l->w->iterations) += 1;
	if (l->w->last_ns < sample.end_ns)
		l->w->last_ns = sample.end_ns;
	if (l->w->sink->iteration)
		l->w->sink->iteration(l->w->sink->self, &sample);
}

static void begin(struct loop *l, struct member *m, uint64_t intended_ns, uint64_t iteration)
{
	const struct user_env env = {
		.plan = m->post->scenario->source.plan,
		.number = (uint32_t)m->number,
		.scenario = m->post->number,
		.iteration = iteration,
		.own_iteration = m->iterations++,
		.seed = l->plan->seed,
		.intended_ns = intended_ns,
		.run_start_ns = l->w->common->start_ns,
	};

	if (m->post->scenario->fresh_connections)
		lines_forget(&l->lines, &m->own);
	m->state = RUNNING;
	m->in_iteration = true;
	m->intended_ns = intended_ns;
	m->began_ns = l->lines.env.now_ns;
	m->post->scenario->source.ops->begin(m->user, &env);
}

/* One of the scenario's iterations that all users share; false if there are no more. */
static bool take_shared(struct loop *l, struct post *p, uint64_t *ret_iteration)
{
	_Atomic uint64_t *store = &l->w->common->left[p->number];
	uint64_t left = load_relaxed(store); /* relaxed: the store is a number, it orders nothing */

	while (left && !cas_relaxed(store, &left, left - 1))
		;
	*ret_iteration = p->scenario->iterations - left;
	return left > 0;
}

/* Begins the member's next iteration if the executor has one for it now; else it sleeps, waits or leaves. */
static bool begin_next(struct loop *l, struct member *m)
{
	struct post *p = m->post;
	const struct schedule_curve *curve = &p->scenario->schedule.curve;
	uint64_t now = l->lines.env.now_ns, iteration = m->iterations, joins;

	if (l->stopping || now >= p->until_ns) {
		leave(l, m);
		return false;
	}
	if (p->scenario->executor == CREW_RAMPING_VUS && !schedule_curve_has(curve, m->index, now - p->from_ns)) {
		joins = schedule_curve_joins(curve, m->index, now - p->from_ns);
		if (joins == UINT64_MAX)
			leave(l, m);
		else
			sleep_until(l, m, p->from_ns + joins);
		return false;
	}
	if ((p->scenario->executor == CREW_SHARED_ITERATIONS && !take_shared(l, p, &iteration)) ||
	    (p->scenario->executor == CREW_PER_VU_ITERATIONS && m->iterations >= p->scenario->iterations)) {
		leave(l, m);
		return false;
	}
	begin(l, m, now, iteration);
	return true;
}

/* Arrivals: begins the oldest start that is due; false if there is none. */
static bool begin_arrival(struct loop *l, struct member *m)
{
	struct post *p = m->post;
	uint64_t at_ns = p->next.at_ns, index = p->next.index;

	if (l->stopping || at_ns == UINT64_MAX || p->from_ns + at_ns > l->lines.env.now_ns)
		return false;
	schedule_arrivals_next(&p->next);
	begin(l, m, p->from_ns + at_ns, index);
	return true;
}

static void abort_run(struct loop *l, const char *reason)
{
	const char *none = NULL;

	/* release: pairs with crew_finish(), which reads what it points to; the first reason stays */
	(void)atomic_compare_exchange_strong_explicit(&l->w->common->abort_reason, &none,
	                                              reason ? reason : "the plan says so", memory_order_release,
	                                              memory_order_relaxed);
	store_relaxed(&l->w->common->stop, true); /* relaxed: the others look at it once a second at the latest */
	l->stopping = true;
}

/* The iteration is over. True if the member has another one begun. */
static bool follow(struct loop *l, struct member *m, uint64_t *turns)
{
	tell_iteration(l, m, false);
	if (is_arrivals(m)) {
		if (begin_arrival(l, m))
			return true;
		m->state = WAITING;
		m->post->waiting[m->post->waiting_count++] = m;
		return false;
	}
	if (++*turns >= TURNS_MAX && !l->stopping) {
		sleep_until(l, m, l->lines.env.now_ns + 1); /* after the others, and what epoll has */
		return false;
	}
	return begin_next(l, m);
}

static void tell(struct loop *l, struct line *line, enum conn_result result)
{
	struct member *m = line->member;
	struct sample_request sample;
	struct user_response response;

	line_sample(line, result, line->conn.intended_ns, &sample);
	sample.user = (uint32_t)m->number;
	sample.in_window = sample.end_ns < m->post->until_ns && m->intended_ns >= l->measure_ns;
	l->w->requests++;
	m->under_way--;
	if (l->w->last_ns < sample.end_ns)
		l->w->last_ns = sample.end_ns;
	if (l->w->sink->request)
		l->w->sink->request(l->w->sink->self, &sample);
	line_response(line, result, &response);
	m->post->scenario->source.ops->answered(m->user, &response);
	lines_release(&l->lines, line, &m->own);
}

/* False: out of memory, and the run ends. */
static bool send_request(struct loop *l, struct member *m, const struct user_request *request, bool is_first)
{
	enum conn_result result;
	struct line *line;

	line = lines_begin(&l->lines, m, &m->own, request, l->plan->timeout_ns, &result);
	if (!line) {
		l->w->error = ENOMEM;
		abort_run(l, "out of memory");
		return false;
	}
	/* Only an iteration's first request is meant for a moment of the schedule; the others follow from answers. */
	line->conn.intended_ns = is_first ? m->intended_ns : line->conn.began_ns;
	m->under_way++;
	if (result != CONN_PENDING)
		tell(l, line, result);
	return true;
}

/* Asks the member what comes next until it has to wait. */
static void drive(struct loop *l, struct member *m)
{
	struct user_step step;
	uint64_t turns = 0;
	bool is_first = l->lines.env.now_ns == m->began_ns;

	while (m->in_iteration && !l->stopping) {
		switch (m->post->scenario->source.ops->next(m->user, l->lines.env.now_ns, &step)) {
		case USER_REQUEST:
			if (!send_request(l, m, &step.request, is_first))
				return;
			is_first = false;
			break;
		case USER_WAIT:
			if (m->under_way)
				return;
			abort_run(l, "a user waits for an answer, and has asked nothing");
			break;
		case USER_SLEEP:
			sleep_until(l, m, l->lines.env.now_ns + (step.sleep_ns ? step.sleep_ns : 1));
			return;
		case USER_ITERATION_OVER:
			if (!follow(l, m, &turns))
				return;
			is_first = true;
			break;
		case USER_STOP:
			tell_iteration(l, m, false);
			leave(l, m);
			return;
		case USER_ABORT_RUN:
			abort_run(l, step.reason);
			return;
		}
	}
}

/* ---- the loop ---- */

/* The member's user is made when it is needed first. */
static bool enter(struct loop *l, struct member *m)
{
	const struct user_source *source = &m->post->scenario->source;
	int rc;

	if (m->has_begun)
		return true;
	m->user = calloc(1, source->ops->bytes ? source->ops->bytes : 1);
	rc = m->user ? source->ops->init(m->user, source->plan, (uint32_t)m->number, l->plan->seed) : -ENOMEM;
	if (rc < 0) {
		l->w->error = -rc;
		free(m->user);
		m->user = NULL;
		abort_run(l, "a user could not be made");
		return false;
	}
	m->has_begun = true;
	return true;
}

static void wake_due(struct loop *l)
{
	while (l->heap_count && l->heap[0]->wake_ns <= l->lines.env.now_ns && !l->stopping) {
		struct member *m = l->heap[0];

		wake(l, m);
		m->state = RUNNING;
		if (!enter(l, m))
			return;
		if (m->in_iteration || begin_next(l, m))
			drive(l, m);
	}
}

/* An idle member, or a new one as long as there may be more. */
static struct member *find_member(struct loop *l, struct post *p)
{
	struct member *m;

	if (p->waiting_count)
		return p->waiting[--p->waiting_count];
	if (p->fresh == p->count)
		return NULL;
	m = &p->members[p->fresh++];
	if (!enter(l, m))
		return NULL;
	l->alive++;
	return m;
}

static void drop(struct loop *l, struct post *p)
{
	schedule_arrivals_next(&p->next);
	l->w->dropped++;
	if (l->w->sink->dropped)
		l->w->sink->dropped(l->w->sink->self, p->number, 1);
}

static void keep_backlog(struct loop *l, struct post *p)
{
	uint64_t now = l->lines.env.now_ns, max = p->scenario->schedule.backlog_max / l->plan->threads, waiting;
	bool is_over = l->stopping || now >= p->until_ns;

	if (p->due.index < p->next.index)
		p->due = p->next;
	while (p->due.at_ns != UINT64_MAX && p->from_ns + p->due.at_ns <= now)
		schedule_arrivals_next(&p->due);
	waiting = (p->due.index - p->next.index) / p->due.step;
	for (; waiting > (is_over ? 0 : max); waiting--)
		drop(l, p);
	if (is_over)
		p->next.at_ns = UINT64_MAX;
}

/* Once after the scenario's end, too: a thread that was late itself makes what was due before it. */
static void arrive(struct loop *l, struct post *p)
{
	while (!l->stopping && p->next.at_ns != UINT64_MAX && p->from_ns + p->next.at_ns <= l->lines.env.now_ns &&
	       l->lines.env.now_ns < p->cut_ns) {
		struct member *m = find_member(l, p);

		if (!m)
			break;
		if (begin_arrival(l, m))
			drive(l, m);
	}
	if (p->next.at_ns != UINT64_MAX &&
	    (p->from_ns + p->next.at_ns <= l->lines.env.now_ns || l->lines.env.now_ns >= p->until_ns || l->stopping))
		keep_backlog(l, p);
}

/* Gives up what the member has under way. */
static void cut_off(struct loop *l, struct member *m)
{
	if (m->state == ABSENT)
		return;
	if (m->in_iteration)
		tell_iteration(l, m, true);
	for (uint64_t i = 0; m->under_way && i < l->lines.count; i++) {
		struct line *line = l->lines.all[i];

		if (line->is_busy && line->member == m) {
			lines_abandon(&l->lines, line);
			m->under_way--;
			l->w->interrupted++;
		}
	}
	leave(l, m);
}

static void end_posts(struct loop *l)
{
	for (size_t s = 0; s < l->plan->scenario_count; s++) {
		struct post *p = &l->posts[s];
		bool is_over = l->lines.env.now_ns >= p->until_ns || l->stopping;
		bool has_all = p->scenario->executor == CREW_ARRIVAL_RATE && p->next.at_ns == UINT64_MAX;

		if (p->is_cut || (!is_over && !has_all))
			continue;
		while (p->waiting_count) /* nobody will come any more */
			leave(l, p->waiting[--p->waiting_count]);
		if (!is_over || (!l->stopping && l->lines.env.now_ns < p->cut_ns))
			continue;
		p->is_cut = true;
		for (uint64_t i = 0; i < p->count; i++)
			cut_off(l, &p->members[i]);
	}
}

static void scan(struct loop *l)
{
	struct lines *lines = &l->lines;
	uint64_t now = lines->env.now_ns, next = UINT64_MAX;

	lines->scan_ns = UINT64_MAX;
	for (uint64_t i = 0; i < lines->count; i++) {
		struct line *line = lines->all[i];

		if (!line->is_busy)
			continue;
		if (line->conn.deadline_ns <= now) {
			struct member *m = line->member;

			tell(l, line, conn_expire(&line->conn, &lines->env));
			drive(l, m);
		} else if (line->conn.deadline_ns < next) {
			next = line->conn.deadline_ns;
		}
	}
	if (next != UINT64_MAX && next < now + scan_gap_ns)
		next = now + scan_gap_ns;
	if (next < lines->scan_ns)
		lines->scan_ns = next;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t wait_ns(const struct loop *l)
{
	uint64_t now = l->lines.env.now_ns, until = earlier(l->lines.scan_ns, now + wait_max_ns);

	if (l->heap_count)
		until = earlier(until, l->heap[0]->wake_ns);
	for (size_t s = 0; s < l->plan->scenario_count; s++) {
		const struct post *p = &l->posts[s];

		if (p->next.at_ns != UINT64_MAX && (p->waiting_count || p->fresh < p->count))
			until = earlier(until, p->from_ns + p->next.at_ns);
		if (!p->is_cut)
			until = earlier(until, now < p->until_ns ? p->until_ns : p->cut_ns);
	}
	return until > now ? until - now : 0;
}

static void handle(struct loop *l, const struct epoll_event *event)
{
	struct line *line = event->data.ptr;
	struct member *m;
	enum conn_result result;

	if (!line) /* the wake-up, which only has to end the wait */
		return;
	m = line->member;
	result = conn_ready(&line->conn, &l->lines.env, event->events);
	if (!line->is_busy || result == CONN_PENDING)
		return;
	tell(l, line, result);
	drive(l, m);
}

/* Idle connections hear of their end before a request is put on them; a line that is busy is looked at later. */
static void handle_all(struct loop *l, struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct line *line = events[i].data.ptr;

		if (line && !line->is_busy) {
			(void)conn_ready(&line->conn, &l->lines.env,
			                 events[i].events); /* nothing is under way that could end */
			events[i].data.ptr = NULL;
		}
	}
	for (int i = 0; i < n; i++)
		handle(l, &events[i]);
}

static bool is_over(const struct loop *l)
{
	for (size_t s = 0; s < l->plan->scenario_count; s++)
		if (l->posts[s].next.at_ns != UINT64_MAX)
			return false;
	return l->alive == 0;
}

static void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_MAX];

	while (!is_over(l)) {
		uint64_t wait = wait_ns(l);
		int n = net_wait(l->w->epoll_fd, events, EVENTS_MAX, wait);

		l->lines.env.now_ns = clock_now();
		handle_all(l, events, n);
		if (load_relaxed(&l->w->common->stop)) /* relaxed: carries no data with it */
			l->stopping = true;
		wake_due(l);
		for (size_t s = 0; s < l->plan->scenario_count; s++)
			arrive(l, &l->posts[s]);
		if (l->lines.env.now_ns >= l->lines.scan_ns)
			scan(l);
		end_posts(l);
	}
}

/* ---- setting up ---- */

static void set_times(struct loop *l, struct post *p)
{
	const struct crew_scenario *s = p->scenario;

	p->from_ns = l->w->common->start_ns + s->start_ns;
	p->until_ns = s->duration_ns < UINT64_MAX - p->from_ns ? p->from_ns + s->duration_ns : UINT64_MAX;
	p->cut_ns = s->graceful_ns < UINT64_MAX - p->until_ns ? p->until_ns + s->graceful_ns : UINT64_MAX;
	p->next.at_ns = p->due.at_ns = UINT64_MAX;
	p->next.step = p->due.step = 1;
}

/* Members of closed executors sleep until their first iteration; those of arrivals are called when they are needed. */
static int init_post(struct loop *l, struct post *p, uint32_t number, uint64_t first_number)
{
	const struct crew_scenario *s = p->scenario = &l->plan->scenarios[number];
	uint64_t threads = l->plan->threads, size;

	p->number = number;
	p->count = schedule_share(s->users, threads, l->w->index);
	size = p->count ? p->count : 1;
	p->members = calloc(size, sizeof(struct member));
	p->waiting = calloc(size, sizeof(struct member *));
	if (!p->members || !p->waiting)
		return -ENOMEM;
	set_times(l, p);
	for (uint64_t i = 0; i < p->count; i++) {
		struct member *m = &p->members[i];

		m->post = p;
		m->index = l->w->index + i * threads;
		m->number = first_number + m->index;
		if (s->executor == CREW_ARRIVAL_RATE)
			continue;
		l->alive++;
		sleep_until(l, m, p->from_ns + (uint64_t)((double)s->ramp_ns * (double)m->index / (double)s->users));
	}
	if (s->executor == CREW_ARRIVAL_RATE) {
		schedule_arrivals_init(&p->next, &s->schedule, l->w->index, threads);
		p->due = p->next;
	}
	return 0;
}

static int init_posts(struct loop *l)
{
	uint64_t users = 0, number = 1;

	for (size_t s = 0; s < l->plan->scenario_count; s++)
		users += schedule_share(l->plan->scenarios[s].users, l->plan->threads, l->w->index);
	l->heap = calloc(users + 1, sizeof(struct member *));
	l->posts = calloc(l->plan->scenario_count, sizeof(struct post));
	if (!l->heap || !l->posts || lines_init(&l->lines, l->plan->target_count, l->w->epoll_fd) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < l->plan->target_count; i++)
		l->lines.targets[i] = (struct conn_target){ .addresses = l->plan->targets[i].addresses,
			                                    .tls = l->plan->targets[i].tls,
			                                    .host = l->plan->targets[i].host,
			                                    .resume = l->plan->targets[i].resume };
	l->lines.env.now_ns = clock_now();
	for (size_t s = 0; s < l->plan->scenario_count; s++) {
		int rc = init_post(l, &l->posts[s], (uint32_t)s, number);

		if (rc < 0)
			return rc;
		number += l->plan->scenarios[s].users;
	}
	return 0;
}

static void free_all(struct loop *l)
{
	for (size_t s = 0; l->posts && s < l->plan->scenario_count; s++) {
		struct post *p = &l->posts[s];

		for (uint64_t i = 0; p->members && i < p->count; i++) {
			if (p->members[i].has_begun)
				p->scenario->source.ops->done(p->members[i].user);
			free(p->members[i].user);
		}
		free(p->members);
		free(p->waiting);
	}
	free(l->posts);
	free(l->heap);
	lines_done(&l->lines);
}

void crew_worker_main(struct crew_worker *w)
{
	struct loop l = { .w = w,
		          .plan = w->common->plan,
		          .measure_ns = w->common->start_ns + w->common->plan->warmup_ns };
	int rc = init_posts(&l);

	tls_thread_begin();
	(void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* a wait is as long as asked for, not up to 50 us longer */
	if (rc < 0)
		w->error = -rc;
	else
		loop_run(&l);
	free_all(&l);
}

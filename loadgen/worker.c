/*
 * worker.c - the loop.
 *
 * Closed model   each connection has at most one attempt under way, and begins the next one in the same turn in which the
 *                last one ended, while common->end_ns and the store of attempts allow it.
 * Ramping model  the same, but a connection that does not take part at this moment pauses until it joins.
 * Open model     starts come from the schedule alone. One that is due takes an idle connection, or waits; since starts are
 *                arithmetic, those that wait need no store: `next` is the oldest that has not begun, `due` counts those behind it.
 *                They are looked for after every event, so a long batch of events does not make them late.
 * Invariants     `busy` is the number of connections with in_flight or pausing set; the loop ends when it is 0.
 *                attempts == responses + failures, at every moment.
 * Deadlines      a request costs one store (its deadline), no list and no heap. All connections are scanned at `scan_ns`,
 *                which is never later than the earliest deadline: a scan finds the earliest deadline of that moment, and
 *                whatever starts later has a later one. In a healthy run that is one scan per timeout.
 * Pause          in a run limited by time, a connection that could not connect waits pause_ns: a closed port would
 *                otherwise be knocked at as fast as the machine can, and drown every other number.
 * Spinning       a server that is the bottleneck answers within microseconds of the last answer; if this thread slept
 *                in between, the server would pay for waking it: measured with nginx `return 200`, 64 connections, 5 % of the server's
 *                CPU per request. So when the last wait was shorter than spin_limit_ns, the next is polled for that long before it
 *                blocks, unless somebody else wants this CPU. The time spent so is idle time, and is not counted as busy.
 * Precision      the kernel rounds a wait up, and a CPU that sleeps takes its time to wake: with plan->precise the last
 *                precise_ns before a start are spent polling.
 * Warm-up        an attempt meant to start within it is counted as that, and nowhere else; the totals of bytes, connections and CPU begin
 *                at its end.
 * Giving up      if nothing was ever answered and every connection of the worker failed to connect, a run limited by time ends.
 */
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "conn.h"
#include "net.h"
#include "plan.h"
#include "schedule.h"

enum { EVENTS_MAX = 256 };
static const uint64_t precise_ns = 60 * NS_PER_US;
/* Starts that are overdue at the end of the load are made for so long; k6 waits as long for iterations. */
static const uint64_t grace_ns = 30 * NS_PER_S;
static const uint64_t pause_ns = 10 * NS_PER_MS, scan_gap_ns = NS_PER_MS, spin_limit_ns = 50 * NS_PER_US;
/* A poll that takes this long has given the CPU away: then spinning is in the way, and stays off for a while. */
static const uint64_t yielded_ns = 8 * NS_PER_US, spin_ban_ns = 100 * NS_PER_MS;

struct loop {
	struct worker *w;
	const struct plan *plan;
	struct metrics *m;
	struct conn *conns;
	struct conn_env env;
	struct iovec part; /* the plan's one request */
	struct conn_request request;
	struct conn_target target;
	uint64_t busy, batch, scan_ns, timeout_ns, failed_connects;
	uint64_t spin_from_ns; /* not before: somebody else needs this CPU */
	uint64_t start_ns, measure_ns, parked;
	struct schedule_arrivals next, due; /* open model; see the essay */
	struct conn **idle;                 /* open model: those without an attempt; the one used last is on top */
	uint64_t idle_count;
	struct rusage usage; /* of the warm-up */
	bool is_open, measuring;
	bool spin_pays;         /* the last wait was short */
	bool draining, drained; /* no attempt starts any more; pausing connections are let go */
};

int worker_init(struct worker *w, struct worker_common *common, uint64_t index, uint64_t connections, bool rows)
{
	*w = (struct worker){
		.common = common, .index = index, .connections = connections, .epoll_fd = -1, .wake_fd = -1
	};
	w->log = rows ? request_log_new() : NULL;
	if (metrics_init(&w->metrics) < 0 || tally_init(&w->tally) < 0 || (rows && !w->log)) {
		worker_done(w);
		return -ENOMEM;
	}
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = w->epoll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0 || net_watch(w->epoll_fd, w->wake_fd, NULL) < 0) {
		int code = errno;

		worker_done(w);
		return -code;
	}
	return 0;
}

void worker_done(struct worker *w)
{
	metrics_done(&w->metrics);
	tally_done(&w->tally);
	request_log_free(w->log);
	w->log = NULL;
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd);
	w->wake_fd = w->epoll_fd = -1;
}

void worker_wake(const struct worker *w)
{
	uint64_t one = 1;

	(void)!write(w->wake_fd, &one, sizeof(one)); /* fails only if a wake-up is pending already */
}

/* May another attempt start now? Takes it from the store if there is one. */
static bool take_attempt(struct loop *l)
{
	struct worker_common *common = l->w->common;

	/* relaxed: stop carries no data with it */
	if (UNLIKELY(l->draining || l->env.now_ns >= common->end_ns || load_relaxed(&common->stop)))
		return false;
	if (l->plan->schedule.attempts == 0)
		return true;
	if (l->batch == 0) {
		uint64_t left = load_relaxed(&common->attempts_left), take;

		do /* relaxed: the store is a number, it orders nothing */
			take = schedule_batch(left, l->plan->threads);
		while (take && !cas_relaxed(&common->attempts_left, &left, left - take));
		l->batch = take;
	}
	if (l->batch == 0)
		return false;
	l->batch--;
	return true;
}

static void record_failure(struct loop *l, const struct conn *c, struct tally_request *r)
{
	l->m->failures[c->failure]++;
	r->outcome = TALLY_FAILURE + c->failure;
	if (c->failure == FAILURE_MALFORMED)
		l->m->problems[c->http.problem]++;
	/* The time that was waited in vain is a latency: without it, the worse the server, the better its percentiles. */
	if (c->failure == FAILURE_TIMEOUT && c->send_ns)
		tally_request_set(r, TREND_DURATION, c->end_ns - c->send_ns);
	if (c->failure == FAILURE_TIMEOUT && l->is_open)
		tally_request_set(r, TREND_RESPONSE_TIME, c->end_ns - c->intended_ns);
	if (c->failed_to_connect)
		l->failed_connects++;
}

static inline void record_response(struct loop *l, const struct conn *c, struct tally_request *r)
{
	struct metrics *m = l->m;

	m->responses++;
	m->status[c->http.status]++;
	r->outcome = c->http.status;
	tally_request_set(r, TREND_DURATION, c->end_ns - c->send_ns);
	tally_request_set(r, TREND_WAITING, c->first_ns - c->send_ns);
	tally_request_set(r, TREND_RECEIVING, c->end_ns - c->first_ns);
	if (l->is_open)
		tally_request_set(r, TREND_RESPONSE_TIME, c->end_ns - c->intended_ns);
	if (UNLIKELY(m->responses == 1))
		store_relaxed(&l->w->common->answered, true); /* a hint for workers that only meet refusals */
}

static NOINLINE void put_row(const struct loop *l, const struct conn *c, const struct tally_request *r)
{
	const struct request_row row = {
		.request = *r,
		.start_ns = c->began_ns - l->w->common->start_ns,
		.body_bytes = r->outcome < TALLY_FAILURE ? c->http.body_bytes : 0,
		.connection = (uint32_t)(c - l->conns),
	};

	request_log_put(l->w->log, &row);
}

static inline void record(struct loop *l, struct conn *c, enum conn_result result)
{
	struct metrics *m = l->m;
	struct tally_request r;

	l->w->last_ns = c->end_ns;
	if (UNLIKELY((l->is_open ? c->intended_ns : c->began_ns) < l->measure_ns)) {
		m->warmup++;
		return;
	}
	r.endpoint = l->w->common->endpoint;
	r.present = 0;
	if (l->is_open)
		tally_request_set(&r, TREND_LATENESS, c->began_ns - c->intended_ns);
	m->attempts++;
	if (c->end_ns < l->w->common->end_ns)
		m->in_window++;
	if (UNLIKELY(c->is_new && c->send_ns))
		tally_request_set(&r, TREND_CONNECTING, c->send_ns - c->began_ns);
	if (LIKELY(result == CONN_RESPONSE))
		record_response(l, c, &r);
	else
		record_failure(l, c, &r);
	tally_add_request(&l->w->tally, &r);
	if (UNLIKELY(l->w->log != NULL))
		put_row(l, c, &r);
}

static void set_deadline(struct loop *l, struct conn *c, uint64_t at_ns)
{
	c->deadline_ns = at_ns;
	if (at_ns < l->scan_ns)
		l->scan_ns = at_ns;
}

static bool has_nothing_but_refusals(const struct loop *l)
{
	return l->m->responses == 0 && l->failed_connects == l->m->attempts &&
	       l->failed_connects >= l->w->connections && !load_relaxed(&l->w->common->answered); /* relaxed: a hint */
}

/* After a failure to connect. True if the connection now waits for its pause to end. */
static bool pause_or_give_up(struct loop *l, struct conn *c)
{
	if (l->plan->schedule.attempts || l->draining || l->env.now_ns >= l->w->common->end_ns)
		return false;
	if (has_nothing_but_refusals(l)) {
		store_relaxed(&l->w->common->gave_up, true); /* read after the thread is joined */
		l->draining = true;
		return false;
	}
	c->in_flight = false;
	set_deadline(l, c, l->env.now_ns + pause_ns);
	return true;
}

/* Leaves the loop's care: no attempt is under way and none will start. */
static void retire(struct loop *l, struct conn *c)
{
	c->in_flight = false;
	c->deadline_ns = 0;
	conn_close(c);
	l->busy--;
}

/* Ramping model: false if the connection has to pause now, or is not needed any more. */
static bool takes_part(struct loop *l, struct conn *c)
{
	const struct schedule_curve *curve = &l->plan->schedule.curve;
	uint64_t index = l->w->index + (uint64_t)(c - l->conns) * l->plan->threads, joins;
	uint64_t at_ns = l->env.now_ns - l->start_ns;

	if (l->plan->schedule.model != SCHEDULE_RAMPING || l->draining || schedule_curve_has(curve, index, at_ns))
		return true;
	joins = schedule_curve_joins(curve, index, at_ns);
	if (joins == UINT64_MAX) {
		retire(l, c);
		return false;
	}
	c->in_flight = false;
	conn_close(c); /* a user that is gone has no connection */
	set_deadline(l, c, l->start_ns + joins);
	l->parked++;
	return false;
}

/* Open model: the attempt is over, and the connection waits for a start. */
static void rest(struct loop *l, struct conn *c)
{
	c->in_flight = false;
	c->deadline_ns = 0;
	l->busy--;
	l->idle[l->idle_count++] = c;
}

/* Open model: begins the oldest start on this connection, if it is due. */
static bool take_start(struct loop *l, struct conn *c)
{
	uint64_t at_ns = l->next.at_ns;

	if (at_ns == UINT64_MAX || l->start_ns + at_ns > l->env.now_ns)
		return false;
	c->intended_ns = l->start_ns + at_ns;
	schedule_arrivals_next(&l->next);
	return true;
}

/* Closed and ramping: may the connection begin another attempt now? If not, it pauses or has left. */
static bool goes_on(struct loop *l, struct conn *c, enum conn_result result)
{
	if (result == CONN_FAILED && c->failed_to_connect && pause_or_give_up(l, c))
		return false;
	if (!takes_part(l, c))
		return false;
	if (take_attempt(l))
		return true;
	retire(l, c);
	return false;
}

/* An attempt ended (or `result` is CONN_PENDING and nothing happened): record it, and start the next, until one is pending. */
static void follow_up(struct loop *l, struct conn *c, enum conn_result result)
{
	while (result != CONN_PENDING) {
		record(l, c, result);
		if (l->is_open) {
			if (!take_start(l, c)) {
				rest(l, c);
				return;
			}
		} else if (!goes_on(l, c, result)) {
			return;
		}
		result = conn_start(c, &l->env);
		set_deadline(l, c, c->began_ns + l->timeout_ns);
	}
}

static void start(struct loop *l, struct conn *c)
{
	enum conn_result result;

	if (!l->is_open && !takes_part(l, c))
		return;
	if (!l->is_open && !take_attempt(l)) {
		retire(l, c);
		return;
	}
	c->in_flight = true;
	result = conn_start(c, &l->env);
	set_deadline(l, c, c->began_ns + l->timeout_ns);
	follow_up(l, c, result);
}

/* Open model: every start that is due and has a connection. */
static void start_due(struct loop *l)
{
	while (l->idle_count && take_start(l, l->idle[l->idle_count - 1])) {
		l->busy++;
		start(l, l->idle[--l->idle_count]);
	}
}

/* Open model: starts that are due and have no connection; drops the oldest if there are too many. */
static void keep_backlog(struct loop *l)
{
	uint64_t now = l->env.now_ns - l->start_ns, max = l->plan->schedule.backlog_max / l->plan->threads, waiting;

	if (l->due.index < l->next.index)
		l->due = l->next;
	while (l->due.at_ns <= now) /* UINT64_MAX at the end */
		schedule_arrivals_next(&l->due);
	waiting = (l->due.index - l->next.index) / l->due.step;
	if (waiting > l->m->backlog_max)
		l->m->backlog_max = waiting;
	for (; waiting > max; waiting--) {
		schedule_arrivals_next(&l->next);
		l->m->dropped++;
	}
}

/* Open model: nothing is begun any more, and what was due is counted. */
static void drop_starts(struct loop *l)
{
	while (l->next.at_ns != UINT64_MAX && l->start_ns + l->next.at_ns <= l->env.now_ns) {
		l->m->dropped++;
		schedule_arrivals_next(&l->next);
	}
	l->next.at_ns = UINT64_MAX;
}

static void open_turn(struct loop *l)
{
	start_due(l);
	if (l->next.at_ns == UINT64_MAX)
		return;
	if (l->start_ns + l->next.at_ns <= l->env.now_ns)
		keep_backlog(l);
	if (l->w->common->end_ns != UINT64_MAX && l->env.now_ns >= l->w->common->end_ns + grace_ns)
		drop_starts(l);
}

static void unpause(struct loop *l, struct conn *c)
{
	if (l->plan->schedule.model == SCHEDULE_RAMPING && l->parked)
		l->parked--;
	start(l, c);
}

static void scan(struct loop *l)
{
	uint64_t now = l->env.now_ns, next = now + l->timeout_ns;

	l->scan_ns = UINT64_MAX;
	for (uint64_t i = 0; i < l->w->connections; i++) {
		struct conn *c = &l->conns[i];

		if (c->deadline_ns == 0)
			continue;
		if (c->deadline_ns <= now) {
			if (c->in_flight)
				follow_up(l, c, conn_expire(c, &l->env));
			else
				unpause(l, c);
		}
		if (c->deadline_ns && c->deadline_ns < next)
			next = c->deadline_ns;
	}
	l->scan_ns = next > now + scan_gap_ns ? next : now + scan_gap_ns;
}

/* Until the next scan, start, or end of the load. */
static uint64_t wait_ns(const struct loop *l)
{
	uint64_t now = l->env.now_ns, until = l->scan_ns;

	if (!l->draining && l->w->common->end_ns < until && l->w->common->end_ns > now)
		until = l->w->common->end_ns;
	if (l->is_open && l->idle_count && l->next.at_ns != UINT64_MAX && l->start_ns + l->next.at_ns < until)
		until = l->start_ns + l->next.at_ns;
	if (until <= now)
		return 0;
	return until - now > NS_PER_S ? NS_PER_S : until - now;
}

/* The load is over: pausing connections have nothing left to do; attempts under way are waited for. */
static void drain(struct loop *l)
{
	if (l->drained)
		return;
	l->draining = l->drained = true;
	for (uint64_t i = 0; i < l->w->connections; i++)
		if (l->conns[i].deadline_ns && !l->conns[i].in_flight)
			retire(l, &l->conns[i]);
}

/* The engine wants the end now. */
static void interrupt(struct loop *l)
{
	if (l->is_open)
		drop_starts(l);
	for (uint64_t i = 0; i < l->w->connections; i++) {
		if (l->conns[i].deadline_ns == 0)
			continue;
		l->m->interrupted += l->conns[i].in_flight;
		retire(l, &l->conns[i]);
	}
}

static void publish(const struct loop *l)
{
	struct worker_counts *counts = &l->w->counts;

	tally_count_to(&l->w->tally, CATALOG_DATA_SENT, (double)l->env.bytes_out);
	tally_count_to(&l->w->tally, CATALOG_DATA_RECEIVED, (double)l->env.bytes_in);
	if (l->is_open)
		tally_count_to(&l->w->tally, CATALOG_DROPPED, (double)l->m->dropped);
	/* relaxed: statistics for the eye */
	store_relaxed(&counts->attempts, l->m->attempts);
	store_relaxed(&counts->failures, l->m->attempts - l->m->responses);
	store_relaxed(&counts->in_flight, l->busy - l->parked);
}

/* Polls until something is ready, the limit is reached, or somebody else had the CPU. */
static int spin(struct loop *l, struct epoll_event *events, uint64_t *ret_now_ns)
{
	uint64_t from_ns = clock_now(), now_ns = from_ns;
	int n = 0;

	while (n == 0 && now_ns - from_ns < spin_limit_ns && now_ns >= l->spin_from_ns) {
		uint64_t before_ns = now_ns;

		(void)sched_yield();
		n = epoll_wait(l->env.epoll_fd, events, EVENTS_MAX, 0);
		now_ns = clock_now();
		if (now_ns - before_ns > yielded_ns)
			l->spin_from_ns = now_ns + spin_ban_ns;
	}
	l->w->spin_ns += now_ns - from_ns;
	*ret_now_ns = now_ns;
	return n;
}

/* epoll_wait(), but a wait that is likely to be short is spun through: see the essay. */
static int wait_events(struct loop *l, struct epoll_event *events)
{
	/* Rounded up to the millisecond that epoll_wait() counts in. */
	int timeout_ms = (int)((wait_ns(l) + NS_PER_MS - 1) / NS_PER_MS), n = 0;
	uint64_t from_ns = l->env.now_ns, now_ns = from_ns; /* when the last event was dealt with, or a little before */

	if (l->spin_pays && from_ns >= l->spin_from_ns && timeout_ms) {
		n = epoll_wait(l->env.epoll_fd, events, EVENTS_MAX, 0);
		if (n != 0)
			return n;
		n = spin(l, events, &now_ns);
	}
	if (n == 0) {
		n = epoll_wait(l->env.epoll_fd, events, EVENTS_MAX, timeout_ms);
		now_ns = clock_now();
	}
	l->spin_pays = now_ns - from_ns < spin_limit_ns;
	return n;
}

/* The same for the open model: to the nanosecond, as far as the kernel goes, or polling through the last part. */
static int wait_start(struct loop *l, struct epoll_event *events)
{
	uint64_t wait = wait_ns(l), from_ns = l->env.now_ns;
	int n = 0;

	if (wait == 0 || (l->plan->precise && wait <= precise_ns)) {
		do {
			n = epoll_wait(l->env.epoll_fd, events, EVENTS_MAX, 0);
			l->env.now_ns = clock_now();
		} while (n == 0 && l->env.now_ns - from_ns < wait);
		if (n == 0)
			l->w->spin_ns += l->env.now_ns - from_ns;
		return n;
	}
	if (l->plan->precise)
		wait -= precise_ns;
	n = net_wait(l->env.epoll_fd, events, EVENTS_MAX, wait);
	l->env.now_ns = clock_now();
	return n;
}

static void handle(struct loop *l, const struct epoll_event *event)
{
	struct conn *c = event->data.ptr;

	if (!c) /* the wake-up, which only has to end the wait */
		return;
	follow_up(l, c, conn_ready(c, &l->env, event->events));
	if (l->is_open)
		start_due(l);
}

/* Open model: a close that is known already must not cost an attempt, so idle connections hear of it before any starts. */
static void close_idle(struct loop *l, struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c && c->state == CONN_IDLE) {
			(void)conn_ready(c, &l->env, events[i].events); /* nothing is under way that could end */
			events[i].data.ptr = NULL;
		}
	}
}

static void begin_measuring(struct loop *l)
{
	l->measuring = true;
	l->env.bytes_in = l->env.bytes_out = l->env.connected = l->env.reopened = l->env.resumed = 0;
	l->w->spin_ns = 0;
	(void)getrusage(RUSAGE_THREAD, &l->usage); /* cannot fail for this thread */
}

static void begin(struct loop *l)
{
	if (l->is_open) {
		/* A wait is as long as asked for, not up to 50 us longer. */
		(void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
		schedule_arrivals_init(&l->next, &l->plan->schedule, l->w->index, l->plan->threads);
		l->due = l->next;
		for (uint64_t i = l->w->connections; i-- > 0;)
			l->idle[l->idle_count++] = &l->conns[i];
		l->env.now_ns = clock_now();
		return;
	}
	for (uint64_t i = 0; i < l->w->connections; i++) {
		l->busy++;
		l->env.now_ns = clock_now();
		start(l, &l->conns[i]);
	}
}

static void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_MAX];

	begin(l);
	while (l->busy > 0 || (l->is_open && l->next.at_ns != UINT64_MAX)) {
		int n = l->is_open ? wait_start(l, events) : wait_events(l, events);
		uint64_t before_ns = l->env.now_ns;

		if (l->is_open)
			close_idle(l, events, n);
		for (int i = 0; i < n; i++)
			handle(l, &events[i]);
		if (l->env.now_ns == before_ns) /* nothing was received, but time goes on */
			l->env.now_ns = clock_now();
		if (UNLIKELY(!l->measuring && l->env.now_ns >= l->measure_ns))
			begin_measuring(l);
		if (load_relaxed(&l->w->common->stop)) /* relaxed: carries no data with it */
			interrupt(l);
		else if (!l->is_open && (l->env.now_ns >= l->w->common->end_ns || l->draining))
			drain(l);
		if (l->env.now_ns >= l->scan_ns)
			scan(l);
		if (l->is_open)
			open_turn(l);
		publish(l);
	}
}

static uint64_t timeval_ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * NS_PER_US;
}

static void init_conns(struct loop *l)
{
	for (uint64_t i = 0; i < l->w->connections; i++) {
		conn_init(&l->conns[i]);
		l->conns[i].request = &l->request;
		l->conns[i].target = &l->target;
	}
}

static void run(struct worker *w, struct loop *l)
{
	struct rusage usage;

	l->conns = calloc(w->connections, sizeof(struct conn));
	l->env.buffer = malloc(CONN_BUFFER_BYTES);
	l->idle = l->is_open ? calloc(w->connections, sizeof(struct conn *)) : NULL;
	if (!l->conns || !l->env.buffer || (l->is_open && !l->idle)) {
		free(l->conns); /* none of them is open */
		l->conns = NULL;
		w->error = ENOMEM;
		return;
	}
	init_conns(l);
	loop_run(l);
	publish(l);
	w->metrics.bytes_in = l->env.bytes_in;
	w->metrics.bytes_out = l->env.bytes_out;
	w->metrics.connected = l->env.connected;
	w->metrics.reopened = l->env.reopened;
	w->metrics.resumed = l->env.resumed;
	memcpy(w->metrics.tls_problem, l->env.tls_problem, sizeof(l->env.tls_problem));
	if (getrusage(RUSAGE_THREAD, &usage) == 0) {
		w->cpu_user_ns = timeval_ns(usage.ru_utime) - timeval_ns(l->usage.ru_utime);
		w->cpu_system_ns = timeval_ns(usage.ru_stime) - timeval_ns(l->usage.ru_stime);
	}
}

void worker_main(struct worker *w)
{
	const struct plan *plan = w->common->plan;
	struct loop l = {
		.w = w,
		.plan = plan,
		.m = &w->metrics,
		.scan_ns = UINT64_MAX,
		.timeout_ns = plan->timeout_ns,
		.start_ns = w->common->start_ns,
		.measure_ns = w->common->start_ns + plan->schedule.warmup_ns,
		.is_open = plan->schedule.model == SCHEDULE_OPEN,
		.measuring = plan->schedule.warmup_ns == 0,
		.part = { plan->request, plan->request_bytes },
		.request = { .parts = &l.part, .count = 1, .bytes = plan->request_bytes, .is_head = plan->is_head },
		.target = {
			.addresses = w->common->addresses,
			.tls = plan->tls,
			.host = plan->url.host,
			.resume = plan->tls_resume,
		},
		.env = { .epoll_fd = w->epoll_fd },
	};

	if (plan->tls)
		tls_thread_begin();
	run(w, &l);
	for (uint64_t i = 0; l.conns && i < w->connections; i++)
		conn_close(&l.conns[i]);
	conn_target_done(&l.target);
	free(l.conns);
	free(l.idle);
	free(l.env.buffer);
}

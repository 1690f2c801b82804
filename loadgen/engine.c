/* engine.c - threads and their sum. */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "net.h"
#include "worker.h"

enum {
	SPARE_DESCRIPTORS = 16
}; /* standard streams, the result files, epoll and eventfd of a worker are counted apart */

struct slot {
	struct worker worker;
	struct engine *engine;
	pthread_t thread;
};

struct engine {
	struct worker_common common;
	_Atomic uint64_t running; /* workers that are not done */
	int done_fd;
	uint64_t start_wall_ns, initialised, started;
	bool interrupted, joined;
	struct tally **tallies; /* of all workers */
	struct slot slots[];
};

static void *slot_main(void *arg)
{
	struct slot *slot = arg;
	struct engine *e = slot->engine;
	uint64_t one = 1;

	worker_main(&slot->worker);
	/* acq_rel: pairs with itself, so that the last worker writes after all others are done; the data are handed over by join */
	if (atomic_fetch_sub_explicit(&e->running, 1, memory_order_acq_rel) == 1)
		(void)!write(e->done_fd, &one, sizeof(one)); /* cannot fail: the counter is 0 */
	return NULL;
}

static void engine_free(struct engine *e)
{
	for (uint64_t i = 0; i < e->initialised; i++)
		worker_done(&e->slots[i].worker);
	if (e->done_fd >= 0)
		(void)close(e->done_fd);
	free(e->tallies);
	free(e);
}

void engine_stop(struct engine *e)
{
	e->interrupted = true;
	/* relaxed: a flag that carries no data; the wake-ups make the workers look */
	store_relaxed(&e->common.stop, true);
	for (uint64_t i = 0; i < e->initialised; i++)
		worker_wake(&e->slots[i].worker);
}

static void join_all(struct engine *e)
{
	for (uint64_t i = 0; i < e->started; i++)
		(void)pthread_join(e->slots[i].thread, NULL); /* joinable and joined once */
}

void engine_join(struct engine *e)
{
	if (!e->joined)
		join_all(e);
	e->joined = true;
}

struct request_log *engine_log(const struct engine *e, size_t worker)
{
	return e->slots[worker].worker.log;
}

uint64_t engine_start_wall_ns(const struct engine *e)
{
	return e->start_wall_ns;
}

struct tally *const *engine_tallies(const struct engine *e, size_t *ret_count)
{
	*ret_count = (size_t)e->initialised;
	return e->tallies;
}

static struct engine *engine_new(const struct plan *plan, const struct net_addresses *addresses, uint32_t endpoint)
{
	size_t bytes = sizeof(struct engine) + plan->threads * sizeof(struct slot);
	struct engine *e = aligned_alloc(_Alignof(struct engine), (bytes + 63) & ~(size_t)63);

	if (!e)
		return NULL;
	memset(e, 0, bytes);
	e->tallies = calloc(plan->threads, sizeof(struct tally *));
	if (!e->tallies) {
		free(e);
		return NULL;
	}
	e->common.plan = plan;
	e->common.endpoint = endpoint;
	e->common.addresses = addresses;
	atomic_init(&e->common.attempts_left, plan->schedule.attempts);
	atomic_init(&e->running, plan->threads);
	e->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return e;
}

static int init_workers(struct engine *e, bool rows, struct err *err)
{
	const struct plan *plan = e->common.plan;

	for (; e->initialised < plan->threads; e->initialised++) {
		struct slot *slot = &e->slots[e->initialised];
		int rc = worker_init(&slot->worker, &e->common, e->initialised,
		                     schedule_share(plan->connections, plan->threads, e->initialised), rows);

		slot->engine = e;
		e->tallies[e->initialised] = &slot->worker.tally;
		if (rc < 0)
			return err_set(err, rc, "cannot set up a thread: %s", strerror(-rc));
	}
	return 0;
}

static int start_workers(struct engine *e, struct err *err)
{
	struct timespec wall;

	(void)clock_gettime(CLOCK_REALTIME, &wall); /* cannot fail for this clock */
	e->start_wall_ns = (uint64_t)wall.tv_sec * NS_PER_S + (uint64_t)wall.tv_nsec;
	e->common.start_ns = clock_now();
	e->common.end_ns = schedule_end_ns(&e->common.plan->schedule, e->common.start_ns);
	for (; e->started < e->initialised; e->started++) {
		struct slot *slot = &e->slots[e->started];
		int code = pthread_create(&slot->thread, NULL, slot_main, slot);

		if (code != 0) {
			engine_stop(e);
			join_all(e);
			return err_set(err, -code, "cannot start a thread: %s", strerror(code));
		}
	}
	return 0;
}

int engine_start(const struct plan *plan, const struct net_addresses *addresses, uint32_t endpoint, bool rows,
                 struct engine **ret_engine, struct err *err)
{
	uint64_t need = plan->connections + 2 * plan->threads + SPARE_DESCRIPTORS;
	uint64_t allowed = net_raise_descriptor_limit(need);
	struct engine *e;
	int rc;

	if (allowed < need)
		return err_set(err, -EMFILE,
		               "%llu connections need %llu file descriptors, but only %llu are allowed (ulimit -n)",
		               (unsigned long long)plan->connections, (unsigned long long)need,
		               (unsigned long long)allowed);
	e = engine_new(plan, addresses, endpoint);
	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	rc = e->done_fd < 0 ? err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno)) : 0;
	if (rc == 0)
		rc = init_workers(e, rows, err);
	if (rc == 0)
		rc = start_workers(e, err);
	if (rc < 0) {
		engine_free(e);
		return rc;
	}
	*ret_engine = e;
	return 0;
}

int engine_fd(const struct engine *e)
{
	return e->done_fd;
}

void engine_progress(const struct engine *e, struct engine_progress *ret_progress)
{
	struct engine_progress p = { .elapsed_ns = clock_now() - e->common.start_ns };

	for (uint64_t i = 0; i < e->started; i++) {
		const struct worker_counts *counts = &e->slots[i].worker.counts;

		/* relaxed: each number is right for some recent moment */
		p.attempts += load_relaxed(&counts->attempts);
		p.failures += load_relaxed(&counts->failures);
		p.in_flight += load_relaxed(&counts->in_flight);
	}
	*ret_progress = p;
}

static int add_up(struct engine *e, struct result *r, struct err *err)
{
	/* A run that was cut off lasted until now, even if nothing had ended in it. */
	uint64_t last_ns = e->interrupted ? clock_now() : 0;
	uint64_t from_ns = e->common.start_ns + e->common.plan->schedule.warmup_ns; /* what is measured begins here */

	if (metrics_init(&r->metrics) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint64_t i = 0; i < e->started; i++) {
		const struct worker *w = &e->slots[i].worker;
		uint64_t cpu_ns;

		if (w->error) {
			metrics_done(&r->metrics);
			return err_set(err, -w->error, "a thread could not run: %s", strerror(w->error));
		}
		metrics_merge(&r->metrics, &w->metrics);
		cpu_ns = w->cpu_user_ns + w->cpu_system_ns;
		r->busy_ns[i] = cpu_ns > w->spin_ns ? cpu_ns - w->spin_ns : 0;
		r->cpu_user_ns += w->cpu_user_ns;
		r->cpu_system_ns += w->cpu_system_ns;
		if (w->last_ns > last_ns)
			last_ns = w->last_ns;
	}
	r->elapsed_ns = last_ns > from_ns ? last_ns - from_ns : 0;
	/* The load was on until its time was up, if it was not cut short or ran out of attempts before. */
	r->window_ns = e->common.end_ns - from_ns;
	if (r->elapsed_ns < r->window_ns && (e->interrupted || r->gave_up || r->plan->schedule.attempts))
		r->window_ns = r->elapsed_ns;
	return 0;
}

int engine_finish(struct engine *e, struct result *ret_result, struct err *err)
{
	struct result r = { .plan = e->common.plan, .start_wall_ns = e->start_wall_ns, .interrupted = e->interrupted };
	int rc;

	engine_join(e);
	r.gave_up = load_relaxed(&e->common.gave_up); /* relaxed: the threads are joined */
	rc = add_up(e, &r, err);
	engine_free(e);
	if (rc == 0)
		*ret_result = r;
	return rc;
}

int result_of_unknown_host(const struct plan *plan, struct result *ret_result)
{
	*ret_result = (struct result){ .plan = plan, .gave_up = true };
	if (metrics_init(&ret_result->metrics) < 0)
		return -ENOMEM;
	ret_result->metrics.attempts = 1;
	ret_result->metrics.failures[FAILURE_DNS] = 1;
	return 0;
}

void result_done(struct result *r)
{
	metrics_done(&r->metrics);
}

double result_window_s(const struct result *r)
{
	return (double)r->window_ns / 1e9;
}

double result_rate(const struct result *r)
{
	return r->window_ns ? (double)r->metrics.in_window / result_window_s(r) : 0;
}

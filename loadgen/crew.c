/*
 * crew.c - threads of virtual users, their store of shared iterations, their end.
 */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "crew_loop.h"
#include "net.h"

enum { SPARE_DESCRIPTORS = 64 };

struct slot {
	struct crew_worker worker;
	struct crew *crew;
	pthread_t thread;
};

struct crew {
	struct crew_common common;
	_Atomic uint64_t running; /* workers that are not done */
	int done_fd;
	bool stopped;
	uint64_t initialised, started;
	struct slot slots[];
};

static void *slot_main(void *arg)
{
	struct slot *slot = arg;
	struct crew *crew = slot->crew;
	uint64_t one = 1;

	crew_worker_main(&slot->worker);
	/* acq_rel: pairs with itself; the data are handed over by join */
	if (atomic_fetch_sub_explicit(&crew->running, 1, memory_order_acq_rel) == 1)
		(void)!write(crew->done_fd, &one, sizeof(one)); /* cannot fail: the counter is 0 */
	return NULL;
}

static void crew_free(struct crew *crew)
{
	for (uint64_t i = 0; i < crew->initialised; i++)
		crew_worker_done(&crew->slots[i].worker);
	if (crew->done_fd >= 0)
		(void)close(crew->done_fd);
	free(crew->common.left);
	free(crew);
}

static void join_all(struct crew *crew)
{
	for (uint64_t i = 0; i < crew->started; i++)
		(void)pthread_join(crew->slots[i].thread, NULL); /* joinable and joined once */
}

static void wake_all(struct crew *crew)
{
	for (uint64_t i = 0; i < crew->initialised; i++)
		crew_worker_wake(&crew->slots[i].worker);
}

void crew_stop(struct crew *crew)
{
	crew->stopped = true;
	store_relaxed(&crew->common.stop, true); /* relaxed: a flag that carries no data */
	wake_all(crew);
}

int crew_fd(const struct crew *crew)
{
	return crew->done_fd;
}

static struct crew *crew_new(const struct crew_plan *plan)
{
	size_t bytes = sizeof(struct crew) + plan->threads * sizeof(struct slot);
	struct crew *crew = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	if (!crew)
		return NULL;
	memset(crew, 0, bytes);
	crew->common.plan = plan;
	crew->common.left = calloc(plan->scenario_count, sizeof(*crew->common.left));
	atomic_init(&crew->running, plan->threads);
	crew->done_fd = crew->common.left ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	for (size_t i = 0; crew->common.left && i < plan->scenario_count; i++)
		atomic_init(&crew->common.left[i], plan->scenarios[i].iterations);
	return crew;
}

static int init_workers(struct crew *crew, const struct sample_sink *sinks, struct err *err)
{
	for (; crew->initialised < crew->common.plan->threads; crew->initialised++) {
		struct slot *slot = &crew->slots[crew->initialised];
		int rc = crew_worker_init(&slot->worker, &crew->common, crew->initialised, &sinks[crew->initialised]);

		slot->crew = crew;
		if (rc < 0)
			return err_set(err, rc, "cannot set up a thread: %s", strerror(-rc));
	}
	return 0;
}

static int start_workers(struct crew *crew, struct err *err)
{
	crew->common.start_ns = clock_now();
	for (; crew->started < crew->initialised; crew->started++) {
		struct slot *slot = &crew->slots[crew->started];
		int code = pthread_create(&slot->thread, NULL, slot_main, slot);

		if (code != 0) {
			crew_stop(crew);
			join_all(crew);
			return err_set(err, -code, "cannot start a thread: %s", strerror(code));
		}
	}
	return 0;
}

int crew_start(const struct crew_plan *plan, const struct sample_sink *sinks, struct crew **ret_crew, struct err *err)
{
	uint64_t need = plan->descriptors + 2 * plan->threads + SPARE_DESCRIPTORS;
	uint64_t allowed = net_raise_descriptor_limit(need);
	struct crew *crew;
	int rc;

	if (allowed < need)
		return err_set(err, -EMFILE,
		               "the plan may need %llu file descriptors, but only %llu are allowed (ulimit -n)",
		               (unsigned long long)need, (unsigned long long)allowed);
	crew = crew_new(plan);
	if (!crew)
		return err_set(err, -ENOMEM, "out of memory");
	rc = crew->done_fd < 0 ? err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno)) : 0;
	if (rc == 0)
		rc = init_workers(crew, sinks, err);
	if (rc == 0)
		rc = start_workers(crew, err);
	if (rc < 0) {
		crew_free(crew);
		return rc;
	}
	*ret_crew = crew;
	return 0;
}

int crew_finish(struct crew *crew, struct crew_result *ret_result, struct err *err)
{
	struct crew_result r = { .start_ns = crew->common.start_ns, .stopped = crew->stopped };
	int rc = 0;

	join_all(crew);
	r.aborted = load_acquire(&crew->common.abort_reason); /* pairs with the user's worker, which has ended */
	for (uint64_t i = 0; i < crew->started; i++) {
		const struct crew_worker *w = &crew->slots[i].worker;

		if (w->error && rc == 0)
			rc = err_set(err, -w->error, "a thread could not run: %s", strerror(w->error));
		r.iterations += w->iterations;
		r.cut_off += w->cut_off;
		r.dropped += w->dropped;
		r.requests += w->requests;
		r.interrupted += w->interrupted;
		if (w->last_ns > crew->common.start_ns + r.elapsed_ns)
			r.elapsed_ns = w->last_ns - crew->common.start_ns;
	}
	crew_free(crew);
	if (rc == 0)
		*ret_result = r;
	return rc;
}

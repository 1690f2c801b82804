/* One thread of a crew: an epoll loop, its users, their connections. The crew owns it; crew_worker_main() runs on its thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "crew.h"

/* What the workers share. */
struct crew_common {
	const struct crew_plan *plan;
	uint64_t start_ns;
	_Atomic uint64_t *left; /* by scenario: iterations that nobody has taken; shared-iterations only */
	_Alignas(64) _Atomic bool stop;
	_Atomic(const char *) abort_reason; /* written once, before `stop` */
};

struct crew_worker {
	struct crew_common *common;
	const struct sample_sink *sink;
	uint64_t index;
	int epoll_fd, wake_fd;
	/* Valid when the worker is done. */
	uint64_t iterations, cut_off, dropped, requests, interrupted, last_ns;
	int error; /* positive errno */
};

/* 0 or -errno. */
int crew_worker_init(struct crew_worker *w, struct crew_common *common, uint64_t index,
                     const struct sample_sink *sink) MUST_USE;
void crew_worker_done(struct crew_worker *w);
void crew_worker_main(struct crew_worker *w);
/* Make the worker look at common->stop. */
void crew_worker_wake(const struct crew_worker *w);

/* When have requests been so slow that a profile is due, and when is it to be written? Pure: no calls of the kernel.
 *
 * A request that is still running when it passes the limit is waited for, so that its end is in the profile: until it is answered,
 * at most so long as the rules say.
 * Context    [helper]; for tests anywhere. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TRIGGER_SLOW_COUNT_MAX = 1024 };

struct trigger_slow_rules {
	uint64_t limit_ns; /* 0: off */
	uint64_t cooldown_ns, window_ns;
	uint64_t count;       /* so many slow requests within the window; 1 to TRIGGER_SLOW_COUNT_MAX */
	uint64_t patience_ns; /* with one that is still running */
};

/* What was seen since the last look. */
struct trigger_slow_seen {
	uint64_t answered,
	        answered_worst_ns; /* slow ones that were answered; none that was in a profile while it ran */
	/* ---- and now ---- */
	uint64_t running,
	        running_worst_ns; /* slow ones under way, of which no profile tells; the longest's duration so far */
	bool waited_for;          /* the one that is waited for is still under way */
	uint64_t waited_ns;       /* ... its duration so far, or in all */
};

struct trigger_slow {
	/* The newest that were answered, slowly, since the last profile: seen when, and for how long they ran. */
	struct {
		uint64_t at_ns, ns;
	} slow[TRIGGER_SLOW_COUNT_MAX];
	uint64_t seen;       /* of them, ever */
	uint64_t tripped_ns; /* 0: never */
	bool waiting;
	uint64_t deadline_ns, worst_ns;
};

enum trigger_slow_act {
	TRIGGER_SLOW_NOTHING,
	TRIGGER_SLOW_WAIT,  /* it has tripped, by the longest one under way, which is waited for from now on */
	TRIGGER_SLOW_WRITE, /* now; *ret_worst_ns is the longest duration known */
};

enum trigger_slow_act trigger_slow_see(struct trigger_slow *t, const struct trigger_slow_rules *rules, uint64_t now_ns,
                                       const struct trigger_slow_seen *seen, uint64_t *ret_worst_ns);

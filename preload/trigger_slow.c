#include "trigger_slow.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of a storm no more is noted than can be told. */
static void note(struct trigger_slow *t, uint64_t now, const struct trigger_slow_seen *seen)
{
	for (uint64_t i = 0; i < smaller(seen->answered, TRIGGER_SLOW_COUNT_MAX); i++) {
		t->slow[t->seen % TRIGGER_SLOW_COUNT_MAX].at_ns = now;
		t->slow[t->seen++ % TRIGGER_SLOW_COUNT_MAX].ns = seen->answered_worst_ns;
	}
}

/* How many were answered within the window; and how long the worst of them ran. */
static uint64_t of_window(const struct trigger_slow *t, const struct trigger_slow_rules *rules, uint64_t now,
                          uint64_t *ret_worst_ns)
{
	uint64_t kept = smaller(t->seen, TRIGGER_SLOW_COUNT_MAX), n = 0;

	*ret_worst_ns = 0;
	while (n < kept) {
		uint64_t i = (t->seen - 1 - n) % TRIGGER_SLOW_COUNT_MAX;

		if (now - t->slow[i].at_ns > rules->window_ns)
			break;
		*ret_worst_ns = larger(*ret_worst_ns, t->slow[i].ns);
		n++;
	}
	return n;
}

static enum trigger_slow_act write_now(struct trigger_slow *t, uint64_t *ret_worst_ns)
{
	*ret_worst_ns = t->worst_ns;
	t->waiting = false;
	t->seen = 0; /* what comes now counts anew */
	return TRIGGER_SLOW_WRITE;
}

enum trigger_slow_act trigger_slow_see(struct trigger_slow *t, const struct trigger_slow_rules *rules, uint64_t now_ns,
                                       const struct trigger_slow_seen *seen, uint64_t *ret_worst_ns)
{
	uint64_t needed = smaller(larger(rules->count, 1), TRIGGER_SLOW_COUNT_MAX), worst;

	if (t->waiting) {
		t->worst_ns = larger(t->worst_ns, larger(seen->waited_ns, seen->answered_worst_ns));
		return seen->waited_for && now_ns < t->deadline_ns ? TRIGGER_SLOW_NOTHING : write_now(t, ret_worst_ns);
	}
	if (!rules->limit_ns)
		return TRIGGER_SLOW_NOTHING;
	note(t, now_ns, seen);
	if ((!t->seen && !seen->running) || (t->tripped_ns && now_ns - t->tripped_ns < rules->cooldown_ns) ||
	    of_window(t, rules, now_ns, &worst) + seen->running < needed)
		return TRIGGER_SLOW_NOTHING;
	t->tripped_ns = now_ns;
	t->worst_ns = larger(worst, seen->running_worst_ns);
	if (!seen->running || !rules->patience_ns)
		return write_now(t, ret_worst_ns);
	t->waiting = true;
	t->deadline_ns = now_ns + rules->patience_ns;
	return TRIGGER_SLOW_WAIT;
}

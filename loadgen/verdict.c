/* verdict.c - signs that the driver, not the server, made the numbers (research: locust warns at 90 % too). */
#include "verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "series.h"

static const double busy_limit = 0.90, own_failures_limit = 0.05, dropped_limit = 0.05, machine_limit = 0.97,
                    own_share_limit = 0.05;
static const uint64_t late_ns = 1000000; /* or a twentieth of the median latency, if that is more */

static void PRINTF(3, 4) add(struct verdict *v, enum verdict_kind kind, const char *fmt, ...)
{
	va_list args;

	if (kind > v->kind)
		v->kind = kind;
	if (v->count == VERDICT_REASONS_MAX)
		return;
	va_start(args, fmt);
	(void)vsnprintf(v->reasons[v->count++], VERDICT_REASON_BYTES, fmt, args); /* cut at the end, if at all */
	va_end(args);
}

static void judge_cpu(const struct result *r, struct verdict *v)
{
	double worst = 0;
	uint64_t busy = 0;

	if (r->elapsed_ns == 0)
		return;
	for (uint64_t i = 0; i < r->plan->threads; i++) {
		double share = (double)r->busy_ns[i] / (double)r->elapsed_ns;

		busy += share >= busy_limit;
		worst = share > worst ? share : worst;
	}
	if (busy > 0)
		add(v, VERDICT_SUSPECT,
		    "%llu of %llu driver threads used up to %.0f %% of a CPU: the driver limits these numbers too; "
		    "give it more threads (-t) or CPUs",
		    (unsigned long long)busy, (unsigned long long)r->plan->threads, worst * 100);
}

/* Attempts that this side could not make: a few leave a doubt, many make another load than was asked for. */
static void judge_limits(const struct result *r, struct verdict *v)
{
	static const enum failure own[] = { FAILURE_DESCRIPTORS, FAILURE_PORTS };

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		uint64_t failed = r->metrics.failures[own[i]];

		if (failed)
			add(v,
			    (double)failed > own_failures_limit * (double)r->metrics.attempts ? VERDICT_INVALID
			                                                                      : VERDICT_SUSPECT,
			    "%llu attempts failed on this side: %s", (unsigned long long)failed, failure_text(own[i]));
	}
}

static void judge_dropped(const struct result *r, struct verdict *v)
{
	double dropped = 0, made = 0;

	for (size_t i = 0; r->series && i < r->series->count; i++) {
		const struct series *s = r->series->items[i];

		if (strcmp(s->metric, "dropped_iterations") == 0)
			dropped += s->sum;
		else if (strcmp(s->metric, "iterations") == 0)
			made += s->sum;
	}
	if (dropped > 0)
		add(v, dropped > dropped_limit * (dropped + made) ? VERDICT_INVALID : VERDICT_SUSPECT,
		    "%.0f of %.0f starts were never made: that rate needs more users or connections, or a faster "
		    "server",
		    dropped, dropped + made);
}

static void judge_sharing(const struct result *r, struct verdict *v)
{
	double own = r->elapsed_ns && r->cpus
	                     ? (double)(r->cpu_user_ns + r->cpu_system_ns) / ((double)r->elapsed_ns * (double)r->cpus)
	                     : 0;

	if (r->target_is_local && r->machine_busy > machine_limit && own > own_share_limit)
		add(v, VERDICT_SUSPECT,
		    "the target runs on this machine, whose CPUs were %.0f %% busy, the driver's part %.0f %%: each "
		    "took "
		    "time from the other; give them CPUs of their own (taskset)",
		    100 * r->machine_busy, 100 * own);
}

static void judge_hangs(const struct result *r, struct verdict *v)
{
	uint64_t hung = r->metrics.failures[FAILURE_TIMEOUT];

	if (hung)
		add(v, VERDICT_VALID,
		    "%llu of %llu attempts hung until their timeout: percentiles above %.4g %% are at most "
		    "that timeout, the truth may be longer",
		    (unsigned long long)hung, (unsigned long long)r->metrics.attempts,
		    100 - 100 * (double)hung / (double)r->metrics.attempts);
}

/* Open model: a start that came late although a connection was free, or waited for one. */
static void judge_starts(const struct result *r, struct verdict *v)
{
	const struct histogram *late = &r->metrics.trends[TREND_LATENESS];
	uint64_t p99 = histogram_quantile(late, 0.99),
	         p50 = histogram_quantile(&r->metrics.trends[TREND_DURATION], 0.5);
	uint64_t limit = p50 / 20 > late_ns ? p50 / 20 : late_ns;

	if (r->plan->schedule.model != SCHEDULE_OPEN)
		return;
	if (late->count && p99 > limit && r->metrics.backlog_max == 0)
		add(v, VERDICT_SUSPECT,
		    "one start in 100 was more than %.1f ms late, with connections free: the driver's delay",
		    (double)p99 / 1e6);
	else if (late->count && p99 > limit)
		add(v, VERDICT_SUSPECT,
		    "one start in 100 waited more than %.1f ms for a free connection: more of them (-c), unless that "
		    "is meant",
		    (double)p99 / 1e6);
}

void verdict_judge(const struct result *r, struct verdict *ret_verdict)
{
	ret_verdict->kind = VERDICT_VALID;
	ret_verdict->count = 0;
	if (r->metrics.responses == 0)
		add(ret_verdict, VERDICT_INVALID, "no request was answered");
	judge_limits(r, ret_verdict);
	judge_starts(r, ret_verdict);
	judge_dropped(r, ret_verdict);
	if (r->metrics.responses > 0) {
		judge_cpu(r, ret_verdict);
		judge_sharing(r, ret_verdict);
		judge_hangs(r, ret_verdict);
	}
}

const char *verdict_name(enum verdict_kind kind)
{
	static const char *const names[] = { "VALID", "SUSPECT", "INVALID" };

	return names[kind];
}

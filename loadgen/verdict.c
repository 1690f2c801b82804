/* verdict.c - signs that the driver, not the server, made the numbers (research: locust warns at 90 % too). */
#include "verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

static const double busy_limit = 0.90;
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

static void judge_limits(const struct result *r, struct verdict *v)
{
	static const enum failure own[] = { FAILURE_DESCRIPTORS, FAILURE_PORTS };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (r->metrics.failures[own[i]])
			add(v, VERDICT_SUSPECT, "%llu attempts failed on this side: %s",
			    (unsigned long long)r->metrics.failures[own[i]], failure_text(own[i]));
}

/* Open model: a start that came late although a connection was free, or never. */
static void judge_starts(const struct result *r, struct verdict *v)
{
	const struct histogram *late = &r->metrics.trends[TREND_LATENESS];
	uint64_t p99 = histogram_quantile(late, 0.99),
	         p50 = histogram_quantile(&r->metrics.trends[TREND_DURATION], 0.5);
	uint64_t limit = p50 / 20 > late_ns ? p50 / 20 : late_ns;

	if (r->plan->schedule.model != SCHEDULE_OPEN)
		return;
	if (r->metrics.dropped)
		add(v, VERDICT_SUSPECT,
		    "%llu starts were never made: the server or the %llu connections could not keep up",
		    (unsigned long long)r->metrics.dropped, (unsigned long long)r->plan->connections);
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
	if (r->metrics.responses > 0)
		judge_cpu(r, ret_verdict);
}

const char *verdict_name(enum verdict_kind kind)
{
	static const char *const names[] = { "VALID", "SUSPECT", "INVALID" };

	return names[kind];
}

/* When attempts may start. Pure: no clock, no state but what the caller holds. Times are ns from the start of the run
 * unless a name says otherwise. Any thread.
 * Closed     a connection starts its next attempt when the last one is over, while time and number of attempts allow it.
 * Ramping    the same, but how many connections take part follows a curve.
 * Open       attempts start when a curve of rates says so, whatever became of the ones before. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schedule_model { SCHEDULE_CLOSED, SCHEDULE_RAMPING, SCHEDULE_OPEN };

/* From the value before in a straight line to `target`; a stage of no length is a jump. */
struct schedule_stage {
	uint64_t duration_ns;
	double target;
};

/* A piecewise linear function of time: connections, or attempts a second. Behind its last stage it is 0. */
struct schedule_curve {
	double start;
	const struct schedule_stage *stages; /* the plan's */
	size_t count;
};

struct schedule {
	uint64_t duration_ns; /* warm-up included; 0: no limit by time */
	uint64_t warmup_ns;   /* attempts that are meant to start before this are not measured */
	uint64_t attempts;    /* 0: no limit by number */
	enum schedule_model model;
	struct schedule_curve curve; /* ramping and open */
	bool poisson;                /* open: the curve is the mean of a Poisson process */
	uint64_t seed;
	uint64_t backlog_max; /* open: starts that may be overdue at once; older ones are dropped, and counted */
};

/* The first moment at which no attempt starts any more; UINT64_MAX if only the number limits. */
uint64_t schedule_end_ns(const struct schedule *s, uint64_t start_ns);
/* Part `index` of `total` things dealt out to `parts` as evenly as possible; the parts add up to `total`. */
uint64_t schedule_share(uint64_t total, uint64_t parts, uint64_t index);
/* How many attempts a worker may take at once from a common store of `left`: few enough that all finish together, many
 * enough that the store is not fought over. 0 only if `left` is 0. */
uint64_t schedule_batch(uint64_t left, uint64_t workers);

uint64_t schedule_curve_duration(const struct schedule_curve *c);
double schedule_curve_at(const struct schedule_curve *c, uint64_t at_ns);
double schedule_curve_max(const struct schedule_curve *c);
/* The integral from 0 to at_ns, the curve being per second. */
double schedule_curve_area(const struct schedule_curve *c, uint64_t at_ns);
/* When the integral reaches `area`; UINT64_MAX if it never does before the curve's end. */
uint64_t schedule_curve_when(const struct schedule_curve *c, double area);
/* Does thing `index` (from 0) take part at at_ns? On the way up it joins when the curve reaches index + 1, on the way down it
 * leaves when the curve reaches `index`: so the number taking part is a whole number that changes by one at a time. */
bool schedule_curve_has(const struct schedule_curve *c, uint64_t index, uint64_t at_ns);
/* The first moment after at_ns at which thing `index`, which does not take part, joins; UINT64_MAX if never. */
uint64_t schedule_curve_joins(const struct schedule_curve *c, uint64_t index, uint64_t at_ns);

/* A number in (0, 1) for place `index` of the stream `seed`: the same every time, in any order. */
double schedule_random(uint64_t seed, uint64_t index);

/* The starts of an open schedule that fall to one of several workers, in order. */
struct schedule_arrivals {
	const struct schedule *schedule;
	uint64_t at_ns; /* the present one's intended start; UINT64_MAX: there are no more */
	uint64_t index; /* its number in the whole run, from 0 */
	uint64_t step;
	uint64_t drawn; /* Poisson: how many gaps are in `area` */
	double area;
};

/* Those whose number is `first` modulo `step`: together, the workers have every one once. */
void schedule_arrivals_init(struct schedule_arrivals *a, const struct schedule *s, uint64_t first, uint64_t step);
void schedule_arrivals_next(struct schedule_arrivals *a);

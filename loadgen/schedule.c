/*
 * schedule.c - the arithmetic of starts.
 *
 * Start k of an open schedule is where the integral of the rate reaches k: k/r for a constant rate r, and within a stage
 * that goes from r0 to r1 in D seconds, with a = (r1 - r0)/D and A what the stage has to add,
 *
 *     t = 2 A / (r0 + sqrt(r0^2 + 2 a A))
 *
 * which is the root of r0 t + a t^2/2 = A in the form that loses no digits when a or r0 is 0. A Poisson process of changing
 * rate is one of rate 1 seen through the same integral: start k is where it reaches the sum of k + 1 exponential gaps.
 * Gaps are a function of (seed, k), so the starts are the same for any number of workers.
 */
#include "schedule.h"

#include <math.h>

#include "units.h"

enum { BATCH_MAX = 256, BATCHES_LEFT = 16 };

uint64_t schedule_end_ns(const struct schedule *s, uint64_t start_ns)
{
	if (s->duration_ns == 0 || s->duration_ns > UINT64_MAX - start_ns)
		return UINT64_MAX;
	return start_ns + s->duration_ns;
}

uint64_t schedule_share(uint64_t total, uint64_t parts, uint64_t index)
{
	return total / parts + (index < total % parts ? 1 : 0);
}

uint64_t schedule_batch(uint64_t left, uint64_t workers)
{
	uint64_t batch = left / workers / BATCHES_LEFT;

	if (batch > BATCH_MAX)
		return BATCH_MAX;
	if (batch > 0)
		return batch;
	return left > 0 ? 1 : 0;
}

uint64_t schedule_curve_duration(const struct schedule_curve *c)
{
	uint64_t total = 0;

	for (size_t i = 0; i < c->count; i++)
		total = c->stages[i].duration_ns > UINT64_MAX - total ? UINT64_MAX : total + c->stages[i].duration_ns;
	return total;
}

double schedule_curve_max(const struct schedule_curve *c)
{
	double most = c->start;

	for (size_t i = 0; i < c->count; i++)
		most = c->stages[i].target > most ? c->stages[i].target : most;
	return most;
}

/* One stage: where it begins, and its values there and at its end. */
struct piece {
	uint64_t from_ns, duration_ns;
	double from, to;
};

/* The next stage that has a length, jumps applied; false at the end. *p begins as { .to = c->start }, *i as 0. */
static bool next_piece(const struct schedule_curve *c, size_t *i, struct piece *p)
{
	p->from_ns += p->duration_ns;
	p->from = p->to;
	p->duration_ns = 0;
	while (*i < c->count && p->duration_ns == 0) {
		const struct schedule_stage *s = &c->stages[(*i)++];

		if (s->duration_ns == 0)
			p->from = s->target;
		p->duration_ns = s->duration_ns;
		p->to = s->target;
	}
	return p->duration_ns > 0;
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

double schedule_curve_at(const struct schedule_curve *c, uint64_t at_ns)
{
	struct piece p = { .to = c->start };

	for (size_t i = 0; next_piece(c, &i, &p);)
		if (at_ns - p.from_ns < p.duration_ns)
			return p.from + (p.to - p.from) * ((double)(at_ns - p.from_ns) / (double)p.duration_ns);
	return 0;
}

static double piece_area(const struct piece *p, double t)
{
	double slope = (p->to - p->from) / seconds(p->duration_ns);

	return p->from * t + slope * t * t / 2;
}

double schedule_curve_area(const struct schedule_curve *c, uint64_t at_ns)
{
	struct piece p = { .to = c->start };
	double area = 0;

	for (size_t i = 0; next_piece(c, &i, &p) && p.from_ns < at_ns;) {
		uint64_t inside = at_ns - p.from_ns;

		area += piece_area(&p, seconds(inside < p.duration_ns ? inside : p.duration_ns));
	}
	return area;
}

uint64_t schedule_curve_when(const struct schedule_curve *c, double area)
{
	struct piece p = { .to = c->start };

	for (size_t i = 0; next_piece(c, &i, &p);) {
		double length = seconds(p.duration_ns), all = piece_area(&p, length);
		double slope = (p.to - p.from) / length, square, below;

		if (area >= all) {
			area -= all;
			continue;
		}
		if (area <= 0 && p.from > 0)
			return p.from_ns;
		square = p.from * p.from + 2 * slope * area;
		below = p.from + sqrt(square > 0 ? square : 0);
		return p.from_ns + (below > 0 ? (uint64_t)(2 * area / below * (double)NS_PER_S + 0.5) : 0);
	}
	return UINT64_MAX;
}

/* How far into the piece, in ns, the curve reaches `level`, which it crosses. */
static uint64_t crossing(const struct piece *p, double level)
{
	return (uint64_t)((level - p->from) / (p->to - p->from) * (double)p->duration_ns + 0.5);
}

/* In this piece the thing takes part in [*ret_on, *ret_off), ns from the curve's start; false if not at all. */
static bool taking_part(const struct piece *p, uint64_t index, uint64_t *ret_on, uint64_t *ret_off)
{
	double joins = (double)index + 1, leaves = (double)index;
	bool falls = p->to < p->from;

	*ret_on = p->from_ns;
	*ret_off = p->from_ns + p->duration_ns;
	if (falls ? p->from <= leaves : p->to < joins)
		return false;
	if (!falls && p->from < joins)
		*ret_on = p->from_ns + crossing(p, joins);
	if (falls && p->to < leaves)
		*ret_off = p->from_ns + crossing(p, leaves);
	return *ret_on < *ret_off;
}

bool schedule_curve_has(const struct schedule_curve *c, uint64_t index, uint64_t at_ns)
{
	struct piece p = { .to = c->start };
	uint64_t on, off;

	for (size_t i = 0; next_piece(c, &i, &p);)
		if (taking_part(&p, index, &on, &off) && on <= at_ns && at_ns < off)
			return true;
	return false;
}

uint64_t schedule_curve_joins(const struct schedule_curve *c, uint64_t index, uint64_t at_ns)
{
	struct piece p = { .to = c->start };
	uint64_t on, off;

	for (size_t i = 0; next_piece(c, &i, &p);)
		if (taking_part(&p, index, &on, &off) && on > at_ns)
			return on;
	return UINT64_MAX;
}

/* SplitMix64's output function (Steele, Lea, Flood 2014) of a counter. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

double schedule_random(uint64_t seed, uint64_t index)
{
	/* 53 bits and a half: never 0, never 1. */
	return ((double)(mix(mix(seed) ^ index) >> 11) + 0.5) * 0x1p-53;
}

static void place(struct schedule_arrivals *a)
{
	const struct schedule *s = a->schedule;

	if (s->attempts && a->index >= s->attempts) {
		a->at_ns = UINT64_MAX;
		return;
	}
	while (s->poisson && a->drawn <= a->index)
		a->area -= log(schedule_random(s->seed, a->drawn++));
	a->at_ns = schedule_curve_when(&s->curve, s->poisson ? a->area : (double)a->index);
}

void schedule_arrivals_init(struct schedule_arrivals *a, const struct schedule *s, uint64_t first, uint64_t step)
{
	*a = (struct schedule_arrivals){ .schedule = s, .index = first, .step = step };
	place(a);
}

void schedule_arrivals_next(struct schedule_arrivals *a)
{
	if (a->at_ns == UINT64_MAX)
		return;
	a->index += a->step;
	place(a);
}

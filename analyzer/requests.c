#include "requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "profile.h"

static uint64_t bucket_middle(uint32_t i)
{
	uint32_t shift = i / 32 - 1;

	if (i < 64)
		return i;
	return ((uint64_t)(32 + i % 32) << shift) + (UINT64_C(1) << shift) / 2;
}

uint64_t requests_quantile_of(const struct model_bucket *buckets, size_t n, uint64_t count, uint64_t max_ns, double q)
{
	double want = q * (double)count;
	uint64_t seen = 0, ns = 0;

	for (size_t i = 0; i < n; i++) {
		seen += buckets[i].count;
		ns = bucket_middle(buckets[i].bucket);
		if (seen && (double)seen >= want)
			break;
	}
	return ns < max_ns ? ns : max_ns;
}

uint64_t requests_quantile(const struct model_route *r, double q)
{
	return requests_quantile_of(r->buckets, r->bucket_count, r->count, r->max_ns, q);
}

static int by_count(const void *a, const void *b)
{
	const struct model_route *x = ((const struct requests_route *)a)->route;
	const struct model_route *y = ((const struct requests_route *)b)->route;
	int c;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	c = strcmp(x->route, y->route);
	if (c == 0)
		c = strcmp(x->method, y->method);
	return c ? c : (x->status > y->status) - (x->status < y->status);
}

static int by_duration(const void *a, const void *b)
{
	const struct requests_slow *x = a, *y = b;

	if (x->duration_ns != y->duration_ns)
		return x->duration_ns < y->duration_ns ? 1 : -1;
	return (x->request->id > y->request->id) - (x->request->id < y->request->id);
}

static int by_samples(const void *a, const void *b)
{
	const struct requests_stack *x = a, *y = b;

	if (x->samples != y->samples)
		return x->samples < y->samples ? 1 : -1;
	if (x->off_cpu != y->off_cpu)
		return x->off_cpu ? 1 : -1;
	return (x->stack > y->stack) - (x->stack < y->stack);
}

/* Index of the first sample at or after that time. */
static size_t first_sample(const struct profile *p, uint64_t time_ns)
{
	size_t low = 0, high = p->sample_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->samples[mid].time_ns < time_ns)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool add_stack(struct requests_slow *s, bool off_cpu, uint32_t stack, uint64_t weight)
{
	struct requests_stack *more;

	for (size_t i = 0; i < s->stack_count; i++)
		if (s->stacks[i].off_cpu == off_cpu && s->stacks[i].stack == stack) {
			s->stacks[i].samples += weight;
			return true;
		}
	more = realloc(s->stacks, (s->stack_count + 1) * sizeof(*more));
	if (!more)
		return false;
	s->stacks = more;
	s->stacks[s->stack_count++] = (struct requests_stack){ off_cpu, stack, weight };
	return true;
}

static int count_sample(struct requests *r, struct requests_slow *s, const struct profile_sample *sample, bool shared)
{
	r->attributed += sample->weight;
	r->ambiguous += shared ? sample->weight : 0;
	if (!s)
		return 0;
	s->samples += sample->weight;
	s->shared += shared ? sample->weight : 0;
	return add_stack(s, false, sample->stack, sample->weight) ? 0 : -ENOMEM;
}

static struct requests_slow *slow_of(struct requests *r, uint64_t id)
{
	for (size_t i = 0; i < r->slow_count; i++)
		if (r->slowest[i].request->id == id)
			return &r->slowest[i];
	return NULL;
}

/* `taken`: a flag for each sample. One that stands at the end of a span and the begin of the next is counted once. */
static int join_spans(const struct model *m, const struct profile *cpu, struct requests *r, bool *taken)
{
	for (size_t i = 0; i < m->requests.span_count; i++) {
		const struct model_request_span *span = &m->requests.spans[i];
		struct requests_slow *s = slow_of(r, span->request);

		for (size_t k = first_sample(cpu, span->from_ns);
		     k < cpu->sample_count && cpu->samples[k].time_ns <= span->to_ns; k++) {
			if (cpu->samples[k].thread != span->thread || taken[k])
				continue;
			taken[k] = true;
			if (count_sample(r, s, &cpu->samples[k], span->shared) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int join_samples(const struct model *m, const struct profile *cpu, struct requests *r)
{
	bool *taken = calloc(cpu->sample_count + 1, sizeof(*taken));
	int rc = taken ? join_spans(m, cpu, r, taken) : -ENOMEM;

	free(taken);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < cpu->sample_count; i++)
		r->samples += cpu->samples[i].weight;
	return 0;
}

static int join_waits(const struct profile *off_cpu, struct requests *r)
{
	for (size_t i = 0; i < off_cpu->sample_count; i++) {
		const struct profile_sample *sample = &off_cpu->samples[i];
		struct requests_slow *s = sample->request ? slow_of(r, sample->request) : NULL;

		if (!s)
			continue;
		s->off_cpu += sample->weight;
		if (!add_stack(s, true, sample->stack, sample->weight))
			return -ENOMEM;
	}
	return 0;
}

static void sort_stacks(struct requests *r)
{
	for (size_t i = 0; i < r->slow_count; i++)
		if (r->slowest[i].stack_count)
			qsort(r->slowest[i].stacks, r->slowest[i].stack_count, sizeof(*r->slowest[i].stacks),
			      by_samples);
}

int requests_find(const struct model *m, const struct profile *cpu, const struct profile *off_cpu, size_t top,
                  struct requests *ret, struct err *err)
{
	const struct model_requests *q = &m->requests;
	struct requests r = { 0 };

	r.routes = calloc(q->route_count + 1, sizeof(*r.routes));
	r.slowest = calloc(q->request_count + 1, sizeof(*r.slowest));
	if (!r.routes || !r.slowest)
		goto no_memory;
	for (size_t i = 0; i < q->route_count; i++)
		if (q->routes[i].count)
			r.routes[r.route_count++] =
			        (struct requests_route){ &q->routes[i], requests_quantile(&q->routes[i], 0.5),
				                         requests_quantile(&q->routes[i], 0.99) };
	qsort(r.routes, r.route_count, sizeof(*r.routes), by_count);
	for (size_t i = 0; i < q->request_count; i++) {
		const struct model_request *request = &q->requests[i];
		uint64_t to = request->end_ns ? request->end_ns : m->end_ns;

		r.slowest[r.slow_count++] =
		        (struct requests_slow){ .request = request,
			                        .duration_ns = to > request->start_ns ? to - request->start_ns : 0 };
	}
	qsort(r.slowest, r.slow_count, sizeof(*r.slowest), by_duration);
	if (top && r.slow_count > top)
		r.slow_count = top;
	if ((cpu && join_samples(m, cpu, &r) < 0) || (off_cpu && join_waits(off_cpu, &r) < 0))
		goto no_memory;
	sort_stacks(&r);
	*ret = r;
	return 0;
no_memory:
	requests_done(&r);
	return err_set(err, -ENOMEM, "out of memory");
}

void requests_done(struct requests *r)
{
	for (size_t i = 0; r->slowest && i < r->slow_count; i++)
		free(r->slowest[i].stacks);
	free(r->slowest);
	free(r->routes);
	memset(r, 0, sizeof(*r));
}

/*
 * slice.c - which samples belong to a part, and a profile made of those alone.
 *
 * Which sample belongs to which request is decided as in requests.c: by the spans in which the sample's thread worked on it. A
 * sample of waiting says itself whom it waited for. The recorder knows routes as names of paths; a request's own is the most
 * special one that is like its path and has its method and status.
 */
#include "slice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "model.h"
#include "profile.h"
#include "profile_make.h"
#include "units.h"

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static uint32_t request_index(const struct model *m, uint64_t id)
{
	size_t low = 0, high = m->requests.request_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->requests.requests[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->requests.request_count && m->requests.requests[low].id == id ? (uint32_t)low : SLICE_FORGOTTEN;
}

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

int slice_requests(const struct model *m, const struct profile *p, struct slice_requests *ret, struct err *err)
{
	struct slice_requests r = { malloc((p->sample_count + 1) * sizeof(*r.request)),
		                    calloc(p->sample_count + 1, sizeof(*r.shared)) };
	bool *taken = calloc(p->sample_count + 1, sizeof(*taken));

	if (!r.request || !r.shared || !taken) {
		free(taken);
		slice_requests_done(&r);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < p->sample_count; i++) {
		uint64_t id = p->samples[i].request;

		r.request[i] = id ? request_index(m, id) : SLICE_NONE;
		taken[i] = id != 0;
	}
	for (size_t i = 0; i < m->requests.span_count && p->metric != METRIC_OFF_CPU; i++) {
		const struct model_request_span *span = &m->requests.spans[i];

		for (size_t k = first_sample(p, span->from_ns);
		     k < p->sample_count && p->samples[k].time_ns <= span->to_ns; k++) {
			if (taken[k] || p->samples[k].thread != span->thread)
				continue;
			taken[k] = true;
			r.request[k] = request_index(m, span->request);
			r.shared[k] = span->shared;
		}
	}
	free(taken);
	*ret = r;
	return 0;
}

void slice_requests_done(struct slice_requests *r)
{
	free(r->request);
	free(r->shared);
	memset(r, 0, sizeof(*r));
}

/* ---- routes ------------------------------------------------------------------------------------------------------- */

bool slice_path_matches(const char *route, const char *path)
{
	for (;;) {
		size_t a = strcspn(route, "/"), b = strcspn(path, "/");

		if (strcmp(route, "**") == 0)
			return true;
		if (!(a == 1 && *route == '*') && (a != b || memcmp(route, path, a) != 0))
			return false;
		route += a;
		path += b;
		if (!*route || !*path)
			return !*route && !*path;
		route++;
		path++;
	}
}

/* How special a route is: those with fewer stars are more. */
static size_t stars(const char *route)
{
	size_t n = 0;

	for (; *route; route++)
		n += *route == '*';
	return n;
}

static uint32_t route_of(const struct slice_routes *r, const struct model_request *q)
{
	uint32_t best = SLICE_NONE;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct slice_route *route = &r->items[i];

		if (strcmp(route->method, q->method) != 0 || !slice_path_matches(route->route, q->path))
			continue;
		if (best == SLICE_NONE || stars(route->route) < stars(r->items[best].route))
			best = i;
	}
	return best;
}

static uint32_t find_route(const struct slice_routes *r, const struct model_route *route)
{
	uint32_t i = 0;

	while (i < r->count &&
	       (strcmp(r->items[i].method, route->method) != 0 || strcmp(r->items[i].route, route->route) != 0))
		i++;
	return i;
}

static uint32_t route_of_sample(const struct slice_routes *r, uint32_t request)
{
	return request == SLICE_NONE || request == SLICE_FORGOTTEN ? SLICE_NONE : r->of_request[request];
}

static int count_samples(const struct model *m, const struct profile *p, struct slice_routes *r, struct err *err)
{
	struct slice_requests of;
	int rc = slice_requests(m, p, &of, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->sample_count; i++) {
		uint32_t q = of.request[i], route = route_of_sample(r, q);

		r->samples += p->samples[i].weight;
		if (route == SLICE_NONE) {
			r->none += q == SLICE_NONE ? p->samples[i].weight : 0;
			r->forgotten += q == SLICE_NONE ? 0 : p->samples[i].weight;
			continue;
		}
		r->items[route].samples += p->samples[i].weight;
		r->items[route].shared += of.shared[i] ? p->samples[i].weight : 0;
	}
	slice_requests_done(&of);
	return 0;
}

struct placed {
	struct slice_route route;
	uint32_t from;
};

static int most_first(const void *a, const void *b)
{
	const struct slice_route *x = &((const struct placed *)a)->route, *y = &((const struct placed *)b)->route;
	int c;

	if (x->samples != y->samples)
		return x->samples < y->samples ? 1 : -1;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	c = strcmp(x->route, y->route);
	return c ? c : strcmp(x->method, y->method);
}

static bool sort_routes(struct slice_routes *r, size_t requests)
{
	struct placed *placed = calloc(r->count + 1, sizeof(*placed));
	uint32_t *to = calloc(r->count + 1, sizeof(*to));
	bool ok = placed && to;

	for (uint32_t i = 0; ok && i < r->count; i++)
		placed[i] = (struct placed){ r->items[i], i };
	if (ok && r->count)
		qsort(placed, r->count, sizeof(*placed), most_first);
	for (uint32_t i = 0; ok && i < r->count; i++) {
		r->items[i] = placed[i].route;
		to[placed[i].from] = i;
	}
	for (size_t i = 0; ok && i < requests; i++)
		if (r->of_request[i] != SLICE_NONE)
			r->of_request[i] = to[r->of_request[i]];
	free(placed);
	free(to);
	return ok;
}

int slice_routes(const struct model *m, const struct profile *p, struct slice_routes *ret, struct err *err)
{
	const struct model_requests *q = &m->requests;
	struct slice_routes r = { .items = calloc(q->route_count + 1, sizeof(*r.items)),
		                  .of_request = malloc((q->request_count + 1) * sizeof(*r.of_request)) };
	int rc = r.items && r.of_request ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < q->route_count; i++) {
		uint32_t at = find_route(&r, &q->routes[i]);

		if (at == r.count)
			r.items[r.count++] =
			        (struct slice_route){ .method = q->routes[i].method, .route = q->routes[i].route };
		r.items[at].count += q->routes[i].count;
	}
	for (size_t i = 0; rc == 0 && i < q->request_count; i++)
		r.of_request[i] = route_of(&r, &q->requests[i]);
	if (rc == 0 && p)
		rc = count_samples(m, p, &r, err);
	if (rc == 0 && !sort_routes(&r, q->request_count))
		rc = -ENOMEM;
	if (rc < 0) {
		slice_routes_done(&r);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = r;
	return 0;
}

void slice_routes_done(struct slice_routes *r)
{
	free(r->items);
	free(r->of_request);
	memset(r, 0, sizeof(*r));
}

/* ---- a profile of a part ------------------------------------------------------------------------------------------ */

static bool route_is(const struct slice_route *r, const char *wanted)
{
	size_t n = strlen(r->method);

	return strcmp(r->route, wanted) == 0 ||
	       (strncmp(wanted, r->method, n) == 0 && wanted[n] == ' ' && strcmp(wanted + n + 1, r->route) == 0);
}

static int check_route(const struct model *m, const struct slice_routes *routes, const char *wanted, struct err *err)
{
	if (!m->requests.recorded)
		return err_set(err, -ENODATA,
		               "no requests were recorded (PERFPROBE_HTTP=off, or a recorder before 0.1.0)");
	for (size_t i = 0; i < routes->count; i++)
		if (route_is(&routes->items[i], wanted))
			return 0;
	return err_set(err, -ENODATA, "no request came for the route '%s'%s%s%s%s%s", wanted,
	               routes->count ? "; the first of those there are: '" : "",
	               routes->count ? routes->items[0].method : "", routes->count ? " " : "",
	               routes->count ? routes->items[0].route : "", routes->count ? "'" : "");
}

static int begin(const struct profile *p, struct profile_maker *mk)
{
	int rc = profile_maker_init(mk, p->metric);
	struct profile *out = mk->profile;

	for (size_t i = 0; rc == 0 && i < p->frame_count; i++) {
		int64_t n = profile_maker_frame(mk, &p->frames[i]); /* distinct in, the same numbers out */

		rc = n < 0 ? (int)n : 0;
	}
	if (rc < 0)
		return rc;
	out->period_ns = p->period_ns;
	out->partial = p->partial;
	out->lost = p->lost;
	out->pid = p->pid;
	out->start_ns = p->start_ns;
	out->end_ns = p->end_ns;
	out->start_wall_ns = p->start_wall_ns;
	out->comm = profile_maker_text(mk, p->comm);
	out->cmdline = profile_maker_text(mk, p->cmdline);
	if (!out->comm || !out->cmdline || profile_maker_losses(mk, p->losses, p->loss_count) < 0)
		return -ENOMEM;
	return profile_maker_threads(mk, p->threads, p->thread_count);
}

static bool thread_fits(const struct profile *p, const struct slice_options *o, uint32_t thread)
{
	return !o->by_thread || (thread < p->thread_count && p->threads[thread].tid == o->tid);
}

static int64_t add(struct profile_maker *mk, const struct profile *p, uint32_t stack, uint32_t thread, uint64_t samples)
{
	const struct profile_stack *s = &p->stacks[stack];

	return profile_maker_add(mk, s->frames, s->depth, thread, 0, (double)samples);
}

static int add_stacks(struct profile_maker *mk, const struct profile *p, const struct slice_options *o)
{
	int64_t n = 0;

	for (size_t i = 0; i < p->stack_count && n >= 0; i++)
		if (thread_fits(p, o, p->stacks[i].thread))
			n = add(mk, p, (uint32_t)i, p->stacks[i].thread, p->stacks[i].value);
	return n < 0 ? (int)n : 0;
}

static int add_samples(struct profile_maker *mk, const struct profile *p, const struct slice_options *o,
                       const struct slice_requests *of, const struct slice_routes *routes, bool weighed)
{
	for (size_t i = 0; i < p->sample_count; i++) {
		struct profile_sample s = p->samples[i];
		int64_t n;
		int rc;

		if (!thread_fits(p, o, s.thread) || (o->by_time && (s.time_ns < o->from_ns || s.time_ns >= o->to_ns)))
			continue;
		if (o->route) {
			uint32_t route = route_of_sample(routes, of->request[i]);

			if (route == SLICE_NONE || !route_is(&routes->items[route], o->route))
				continue;
		}
		n = add(mk, p, s.stack, s.thread, weighed ? s.weight : 0);
		if (n < 0)
			return (int)n;
		s.stack = (uint32_t)n;
		rc = profile_maker_sample(mk, s);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int build(const struct profile *p, const struct slice_options *o, const struct slice_requests *of,
                 const struct slice_routes *routes, struct profile **ret_profile, struct err *err)
{
	struct profile_maker mk = { 0 };
	bool timed = o->by_time || o->route;
	int rc = begin(p, &mk);

	if (rc == 0 && !timed)
		rc = add_stacks(&mk, p, o);
	if (rc == 0)
		rc = add_samples(&mk, p, o, of, routes, timed);
	if (rc == 0)
		rc = profile_maker_finish(&mk, ret_profile);
	profile_maker_done(&mk);
	return rc < 0 ? err_set(err, rc,
	                        rc == -E2BIG ? "its stacks have more frames than can be shown" : "out of memory")
	              : 0;
}

int slice_build(const struct model *m, const struct profile *p, const struct slice_options *o,
                struct profile **ret_profile, struct err *err)
{
	struct slice_routes routes = { 0 };
	struct slice_requests of = { 0 };
	int rc = 0;

	if (p->period_ns == 0)
		return err_set(err, -EINVAL, "%s is not recorded by %s; leave %s out", profile_text(p),
		               o->by_thread ? "thread"
		               : o->route   ? "request"
		                            : "time",
		               o->by_thread ? "--thread"
		               : o->route   ? "--route"
		                            : "--from and --to");
	if (o->by_time && o->from_ns >= o->to_ns)
		return err_set(err, -EINVAL, "--from must be before --to");
	if (o->route) {
		rc = slice_routes(m, NULL, &routes, err);
		if (rc == 0)
			rc = check_route(m, &routes, o->route, err);
		if (rc == 0)
			rc = slice_requests(m, p, &of, err);
	}
	if (rc == 0)
		rc = build(p, o, &of, &routes, ret_profile, err);
	slice_requests_done(&of);
	slice_routes_done(&routes);
	return rc;
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

/* Adds to the stack below a frame of that name. `list`: room for its frames and one more. */
static int64_t add_below(struct profile_maker *mk, const struct profile_stack *s, const char *name, uint32_t thread,
                         uint64_t samples, uint32_t *list)
{
	const struct profile_frame f = { .function = name, .module = "" };
	int64_t number = profile_maker_frame(mk, &f);

	if (number < 0)
		return number;
	memcpy(list, s->frames, s->depth * sizeof(*list));
	list[s->depth] = (uint32_t)number;
	return profile_maker_add(mk, list, s->depth + 1, thread, 0, (double)samples);
}

static int group_threads(struct profile_maker *mk, const struct profile *p, uint32_t *list)
{
	struct buf name = { 0 };
	int64_t n = 0;

	for (size_t i = 0; i < p->stack_count && n >= 0; i++) {
		const struct profile_stack *s = &p->stacks[i];

		buf_clear(&name);
		if (s->thread < p->thread_count)
			buf_printf(&name, "[thread %s (%" PRIu64 ")]", p->threads[s->thread].name,
			           p->threads[s->thread].tid);
		else
			buf_add_str(&name, "[no thread]");
		n = name.failed ? -ENOMEM : add_below(mk, s, name.data, s->thread, s->value, list);
	}
	buf_done(&name);
	return n < 0 ? (int)n : 0;
}

static int group_routes(struct profile_maker *mk, const struct profile *p, const struct slice_requests *of,
                        const struct slice_routes *routes, uint32_t *list)
{
	struct buf name = { 0 };
	int64_t n = 0;

	for (size_t i = 0; i < p->sample_count && n >= 0; i++) {
		const struct profile_sample *s = &p->samples[i];
		uint32_t route = route_of_sample(routes, of->request[i]);

		buf_clear(&name);
		if (route != SLICE_NONE)
			buf_printf(&name, "[%s %s]", routes->items[route].method, routes->items[route].route);
		else
			buf_add_str(&name, of->request[i] == SLICE_NONE ? "[no request]"
			                                                : "[requests that are in the file no longer]");
		n = name.failed ? -ENOMEM : add_below(mk, &p->stacks[s->stack], name.data, s->thread, s->weight, list);
	}
	buf_done(&name);
	return n < 0 ? (int)n : 0;
}

static uint32_t *room_for_deepest(const struct profile *p)
{
	uint32_t deepest = 0;

	for (size_t i = 0; i < p->stack_count; i++)
		deepest = p->stacks[i].depth > deepest ? p->stacks[i].depth : deepest;
	return malloc(((size_t)deepest + 1) * sizeof(uint32_t));
}

int slice_group(const struct model *m, const struct profile *p, bool by_route, struct profile **ret_profile,
                struct err *err)
{
	struct slice_routes routes = { 0 };
	struct slice_requests of = { 0 };
	struct profile_maker mk = { 0 };
	uint32_t *list;
	int rc = 0;

	if (p->period_ns == 0)
		return err_set(err, -EINVAL, "%s is not recorded by %s; --group takes a metric of time",
		               profile_text(p), by_route ? "route" : "thread");
	if (by_route && !m->requests.recorded)
		return err_set(err, -ENODATA,
		               "no requests were recorded (PERFPROBE_HTTP=off, or a recorder before 0.1.0)");
	if (by_route)
		rc = slice_routes(m, NULL, &routes, err);
	if (rc == 0 && by_route)
		rc = slice_requests(m, p, &of, err);
	list = room_for_deepest(p);
	if (rc == 0 && !list)
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc == 0) {
		rc = begin(p, &mk);
		if (rc == 0)
			rc = by_route ? group_routes(&mk, p, &of, &routes, list) : group_threads(&mk, p, list);
		if (rc == 0)
			rc = profile_maker_finish(&mk, ret_profile);
		profile_maker_done(&mk);
		if (rc < 0)
			rc = err_set(err, rc,
			             rc == -E2BIG ? "its stacks have more frames than can be shown" : "out of memory");
	}
	free(list);
	slice_requests_done(&of);
	slice_routes_done(&routes);
	return rc;
}

int slice_time(const struct model *m, const char *option, const char *text, uint64_t *ret_ns, struct err *err)
{
	bool from_end = *text == '-';
	uint64_t ns, span = m->end_ns > m->start_ns ? m->end_ns - m->start_ns : 0;

	if (units_parse_duration(text + from_end, &ns) < 0)
		return err_set(
		        err, -EINVAL,
		        "%s takes a time since the start of the recording (1.5s) or before its end (-10s), not '%s'",
		        option, text);
	if (from_end)
		*ret_ns = m->end_ns - (ns < span ? ns : span);
	else
		*ret_ns = m->start_ns + (ns < span ? ns : span + 1);
	return 0;
}

#include "view_routes.h"

#include <inttypes.h>

#include "model.h"

static void line(const struct view *v, const struct profile *p, const struct slice_routes *r, uint64_t samples)
{
	view_percent(v, samples, r->samples);
	buf_add_str(v->out, "  ");
	view_value(v, p->metric, p->period_ns, samples);
	buf_add_str(v->out, "  ");
}

static void rest(const struct view *v, const struct profile *p, const struct slice_routes *r, uint64_t samples,
                 const char *what)
{
	if (!samples)
		return;
	line(v, p, r, samples);
	view_text(v, VIEW_DIM, what);
	buf_add_char(v->out, '\n');
}

void view_routes_text(const struct view *v, const struct model *m, const struct profile *p,
                      const struct slice_routes *r, size_t top)
{
	size_t shown = top && top < r->count ? top : r->count;

	view_losses(v, m);
	view_text(v, VIEW_BOLD, p->comm);
	buf_printf(v->out, " (pid %" PRIu64 "): ", p->pid);
	view_value(v, p->metric, p->period_ns, r->samples);
	buf_printf(v->out, " %s by route, of the %" PRIu64 " samples whose time is known", profile_text(p), r->samples);
	if (p->total > r->samples)
		buf_printf(v->out, " (%" PRIu64 " older ones have none)", p->total - r->samples);
	buf_add_str(v->out, "\n\n");
	for (size_t i = 0; i < shown; i++) {
		const struct slice_route *route = &r->items[i];

		line(v, p, r, route->samples);
		view_text(v, VIEW_PLAIN, route->method);
		buf_add_char(v->out, ' ');
		view_text(v, VIEW_PLAIN, route->route);
		buf_add_str(v->out, ", ");
		view_count(v, route->count);
		buf_add_str(v->out, " answered in all");
		if (route->shared)
			buf_printf(v->out, " (%" PRIu64 " samples perhaps of other requests)", route->shared);
		buf_add_char(v->out, '\n');
	}
	if (shown < r->count)
		buf_printf(v->out, "... and %zu more routes\n", r->count - shown);
	rest(v, p, r, r->forgotten,
	     "requests that are in the file no longer (it keeps the newest, the slowest and those that samples were "
	     "taken for)");
	rest(v, p, r, r->none, "no request");
}

void view_routes_json(struct buf *out, const struct profile *p, const struct slice_routes *r, size_t top)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "metric", profile_metric_name(p->metric));
	json_key_string(&j, "unit", profile_metric_unit(p->metric));
	json_key_u64(&j, "period_ns", p->period_ns);
	json_key_u64(&j, "total", r->samples);
	json_key_u64(&j, "forgotten", r->forgotten);
	json_key_u64(&j, "none", r->none);
	json_key(&j, "routes");
	json_array_begin(&j);
	for (size_t i = 0; i < r->count && (!top || i < top); i++) {
		json_object_begin(&j);
		json_key_string(&j, "method", r->items[i].method);
		json_key_string(&j, "route", r->items[i].route);
		json_key_u64(&j, "value", r->items[i].samples);
		json_key_u64(&j, "ambiguous", r->items[i].shared);
		json_key_u64(&j, "requests", r->items[i].count);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

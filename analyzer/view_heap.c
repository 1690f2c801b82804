#include "view_heap.h"

#include "units.h"

uint64_t lifetime_end_ns(unsigned i)
{
	return i + 1 < SNAP_LIFETIMES ? (uint64_t)SNAP_LIFETIME_NS << 2 * i : 0;
}

unsigned lifetime_quantile(const double lifetime[SNAP_LIFETIMES], double share)
{
	double all = 0, seen = 0;

	for (unsigned i = 0; i < SNAP_LIFETIMES; i++)
		all += lifetime[i];
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++) {
		seen += lifetime[i];
		if (all > 0 && lifetime[i] > 0 && seen >= share * all)
			return i;
	}
	return SNAP_LIFETIMES;
}

void view_heap_text(const struct view *v, const struct profile *p, const struct profile_heap *h)
{
	char text[32];

	if (h->largest)
		buf_printf(v->out, ", largest %s", units_print_bytes(text, sizeof(text), h->largest));
	if (p->followed && p->metric != METRIC_SLOP)
		buf_printf(v->out, ", slop %s", units_print_bytes(text, sizeof(text), h->slop_bytes));
}

void view_lifetime_line(const struct view *v, const struct profile_heap *h, unsigned indent)
{
	unsigned first = lifetime_quantile(h->lifetime, 0), half = lifetime_quantile(h->lifetime, 0.5);
	unsigned last = lifetime_quantile(h->lifetime, 1);
	char a[32], b[32];

	if (first == SNAP_LIFETIMES)
		return;
	last = last == SNAP_LIFETIMES ? half : last; /* the sum was rounded */
	buf_printf(v->out, "%*s", (int)indent, "");
	view_style(v, VIEW_DIM);
	buf_add_str(v->out, "freed ones lived ");
	if (first > 0 && first < SNAP_LIFETIMES - 1)
		buf_printf(v->out, "%s to ", units_print_duration(a, sizeof(a), lifetime_end_ns(first - 1)));
	if (last < SNAP_LIFETIMES - 1)
		buf_printf(v->out, "%s%s", first > 0 ? "" : "less than ",
		           units_print_duration(b, sizeof(b), lifetime_end_ns(last)));
	else
		buf_printf(v->out, "more than %s",
		           units_print_duration(b, sizeof(b), lifetime_end_ns(SNAP_LIFETIMES - 2)));
	if (half < last)
		buf_printf(v->out, ", half of them less than %s",
		           units_print_duration(a, sizeof(a), lifetime_end_ns(half)));
	view_style(v, VIEW_PLAIN);
	buf_add_char(v->out, '\n');
}

void view_heap_json(struct json *j, const struct profile *p, const struct profile_heap *h)
{
	json_key_u64(j, "largest_bytes", h->largest);
	if (!p->followed)
		return;
	json_key_u64(j, "slop_bytes", h->slop_bytes);
	json_key(j, "lifetimes");
	json_array_begin(j);
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++) {
		if (h->lifetime[i] <= 0)
			continue;
		json_object_begin(j);
		json_key_u64(j, "from_ns", i ? lifetime_end_ns(i - 1) : 0);
		json_key(j, "below_ns");
		if (lifetime_end_ns(i))
			json_u64(j, lifetime_end_ns(i));
		else
			json_null(j);
		json_key_u64(j, "count", profile_whole(h->lifetime[i]));
		json_object_end(j);
	}
	json_array_end(j);
}

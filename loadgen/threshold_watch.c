/*
 * threshold_watch.c - thresholds against a run: second by second, and at its end.
 *
 * Window     the slices of the last window_ns are kept as what they hold (of a trend, the buckets that are not empty), and their
 *            sum with them: a slice is added when it comes and taken off when it is too old. Exact, and bounded by the window.
 * A window that has failed stays failed. A threshold over the whole run is what it is at the end.
 */
#include "threshold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "metrics.h"
#include "totals.h"
#include "units.h"

struct bucket {
	uint32_t index;
	uint32_t unused;
	uint64_t times;
};

struct piece { /* a slice */
	uint64_t from_ns, to_ns;
	struct series numbers; /* trend: only its sum counts here */
	struct bucket *buckets;
	uint32_t bucket_count;
};

struct threshold_window {
	struct series sum;
	struct piece *pieces; /* a ring */
	size_t first, count, cap;
	bool lost; /* out of memory: it can no longer be answered */
};

static void window_free(struct threshold_window *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->cap; i++)
		free(w->pieces[i].buckets);
	free(w->pieces);
	series_sum_done(&w->sum);
	free(w);
}

static struct threshold_window *window_new(uint64_t window_ns)
{
	struct threshold_window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->cap = (size_t)(window_ns / NS_PER_S) +
	         4; /* slices are a second long, and one may be cut short at either end */
	w->pieces = calloc(w->cap, sizeof(*w->pieces));
	if (series_sum_init(&w->sum) < 0 || !w->pieces) {
		window_free(w);
		return NULL;
	}
	return w;
}

/* k6's, beside the trends of requests and what every catalog has. */
static const struct {
	const char *metric;
	enum series_kind kind;
	enum series_contains contains;
} k6_metrics[] = {
	{ "http_reqs", SERIES_COUNTER, SERIES_DEFAULT }, { "http_req_failed", SERIES_RATE, SERIES_DEFAULT },
	{ "vus", SERIES_GAUGE, SERIES_DEFAULT },         { "vus_max", SERIES_GAUGE, SERIES_DEFAULT },
	{ "checks", SERIES_RATE, SERIES_DEFAULT },       { "group_duration", SERIES_TREND, SERIES_TIME },
};

static bool find_metric(struct catalog *catalog, const char *metric, enum series_kind *ret_kind,
                        enum series_contains *ret_contains)
{
	const struct series *s;

	for (size_t i = 0; i < ARRAY_LEN(k6_metrics); i++) {
		if (strcmp(k6_metrics[i].metric, metric) == 0) {
			*ret_kind = k6_metrics[i].kind;
			*ret_contains = k6_metrics[i].contains;
			return true;
		}
	}
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++) {
		if (strcmp(metrics_trend_key(i), metric) == 0) {
			*ret_kind = SERIES_TREND;
			*ret_contains = SERIES_TIME;
			return true;
		}
	}
	for (uint32_t i = 0; (s = catalog_slot_tags(catalog, i)) != NULL; i++) {
		if (strcmp(s->metric, metric) == 0) {
			*ret_kind = s->kind;
			*ret_contains = s->contains;
			return true;
		}
	}
	return false;
}

static int state_init(struct threshold_state *s, struct catalog *catalog, const char *text, struct err *err)
{
	enum series_contains contains;
	int rc = threshold_parse(text, &s->t, err);

	if (rc < 0)
		return rc;
	if (!find_metric(catalog, s->t.metric, &s->kind, &contains))
		return err_set(err, -ENOENT, "threshold '%s: %s': there is no metric of that name", s->t.key,
		               s->t.source);
	rc = threshold_fits(&s->t, s->kind, contains, err);
	if (rc < 0 || !s->t.window_ns)
		return rc;
	s->window = window_new(s->t.window_ns);
	return s->window ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int thresholds_add(struct thresholds *ts, struct catalog *catalog, const char *text, struct err *err)
{
	struct threshold_state *items = realloc(ts->items, (ts->count + 1) * sizeof(*items));
	int rc;

	if (!items)
		return err_set(err, -ENOMEM, "out of memory");
	ts->items = items;
	if (!ts->has_scratch && series_sum_init(&ts->scratch) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	ts->has_scratch = true;
	items[ts->count] = (struct threshold_state){ 0 };
	rc = state_init(&items[ts->count], catalog, text, err);
	if (rc < 0)
		threshold_done(&items[ts->count].t);
	else
		ts->count++;
	return rc;
}

void thresholds_done(struct thresholds *ts)
{
	for (size_t i = 0; i < ts->count; i++) {
		window_free(ts->items[i].window);
		threshold_done(&ts->items[i].t);
	}
	free(ts->items);
	if (ts->has_scratch)
		series_sum_done(&ts->scratch);
	*ts = (struct thresholds){ 0 };
}

/* Takes the oldest piece off the sum. */
static void window_drop(struct threshold_window *w)
{
	struct piece *p = &w->pieces[w->first];

	w->sum.sum -= p->numbers.sum;
	w->sum.yes -= p->numbers.yes;
	w->sum.total -= p->numbers.total;
	w->sum.trend.sum -= p->numbers.trend.sum;
	for (uint32_t i = 0; i < p->bucket_count; i++) {
		w->sum.trend.buckets[p->buckets[i].index] -= p->buckets[i].times;
		w->sum.trend.count -= p->buckets[i].times;
	}
	p->bucket_count = 0;
	w->first = (w->first + 1) % w->cap;
	w->count--;
}

/* The buckets that are not empty. False: out of memory. */
static bool piece_fill(struct piece *p, const struct histogram *h)
{
	uint32_t first = histogram_index(h->min), last = histogram_index(h->max), used = 0;
	struct bucket *buckets;

	for (uint32_t i = first; i <= last; i++)
		used += h->buckets[i] > 0;
	buckets = realloc(p->buckets, (used ? used : 1) * sizeof(*buckets));
	if (!buckets)
		return false;
	p->buckets = buckets;
	for (uint32_t i = first; i <= last; i++)
		if (h->buckets[i])
			buckets[p->bucket_count++] = (struct bucket){ i, 0, h->buckets[i] };
	return true;
}

/* min and max are known to the bucket only. */
static void window_extremes(struct threshold_window *w)
{
	struct histogram *h = &w->sum.trend;

	h->min = UINT64_MAX;
	h->max = 0;
	for (size_t k = 0; k < w->count; k++) {
		const struct piece *p = &w->pieces[(w->first + k) % w->cap];
		uint32_t low, high;

		if (p->bucket_count == 0)
			continue;
		low = p->buckets[0].index;
		high = p->buckets[p->bucket_count - 1].index;
		if (histogram_bucket_low(low) < h->min)
			h->min = histogram_bucket_low(low);
		if (histogram_bucket_low(high) + (histogram_bucket_width(high) - 1) > h->max)
			h->max = histogram_bucket_low(high) + (histogram_bucket_width(high) - 1);
	}
}

static void window_add(struct threshold_window *w, const struct series *slice, uint64_t from_ns, uint64_t to_ns)
{
	struct piece *p;

	if (w->count == w->cap)
		window_drop(w);
	p = &w->pieces[(w->first + w->count++) % w->cap];
	p->from_ns = from_ns;
	p->to_ns = to_ns;
	p->bucket_count = 0;
	p->numbers = *slice;
	w->sum.kind = slice->kind;
	w->sum.last = slice->last;
	w->sum.sum += slice->sum;
	w->sum.yes += slice->yes;
	w->sum.total += slice->total;
	if (slice->kind == SERIES_TREND && slice->trend.count) {
		if (!piece_fill(p, &slice->trend)) {
			w->lost = true;
			return;
		}
		for (uint32_t i = 0; i < p->bucket_count; i++)
			histogram_add_bucket(&w->sum.trend, p->buckets[i].index, p->buckets[i].times);
		w->sum.trend.sum += slice->trend.sum;
	} else {
		p->numbers.trend.sum = 0;
	}
}

/* How long the window is that is kept now. */
static uint64_t window_span(const struct threshold_window *w)
{
	const struct piece *first = &w->pieces[w->first], *last = &w->pieces[(w->first + w->count - 1) % w->cap];

	return w->count ? last->to_ns - first->from_ns : 0;
}

/* What the threshold is about, into the scratch. Without any series it is a value of that kind of nothing. */
static void take(struct thresholds *ts, const struct threshold_state *s, const struct series_set *set)
{
	(void)series_sum(set, s->t.metric, s->t.filter, s->t.filter_count, &ts->scratch);
	ts->scratch.kind = (uint8_t)s->kind;
}

static void look_window(struct thresholds *ts, struct threshold_state *s, const struct series_set *slice,
                        uint64_t now_ns)
{
	struct threshold_window *w = s->window;
	uint64_t from_ns = w->count ? w->pieces[(w->first + w->count - 1) % w->cap].to_ns : 0;
	double value = 0;
	bool known;

	take(ts, s, slice); /* nothing new is a slice, too */
	window_add(w, &ts->scratch, from_ns, now_ns);
	/* The oldest goes when the window is full without it. Slices are seldom cut at the bound to the ns: half of one is let pass. */
	while (w->count > 1 &&
	       window_span(w) - (w->pieces[w->first].to_ns - w->pieces[w->first].from_ns) + NS_PER_S / 2 >=
	               s->t.window_ns)
		window_drop(w);
	if (s->failed || window_span(w) + NS_PER_S / 2 < s->t.window_ns)
		return;
	window_extremes(w);
	known = !w->lost && threshold_value(&s->t, &w->sum, window_span(w), &value);
	s->known = known;
	s->value = value;
	s->failed = !known || !threshold_holds(&s->t, value);
}

static void look_all(struct thresholds *ts, struct threshold_state *s, const struct series_set *all,
                     uint64_t elapsed_ns)
{
	take(ts, s, all);
	s->known = threshold_value(&s->t, &ts->scratch, elapsed_ns, &s->value);
	s->failed = !s->known || !threshold_holds(&s->t, s->value);
}

bool thresholds_look(struct thresholds *ts, const struct series_set *all, const struct series_set *slice,
                     uint64_t now_ns)
{
	for (size_t i = 0; i < ts->count; i++) {
		struct threshold_state *s = &ts->items[i];

		if (s->window)
			look_window(ts, s, slice, now_ns);
		else
			look_all(ts, s, all, now_ns);
		/* Nothing has been measured yet: that is judged at the end. */
		if (s->t.abort_on_fail && s->failed && (s->known || s->window) && now_ns >= s->t.delay_abort_ns)
			ts->aborted = true;
	}
	return ts->aborted;
}

bool thresholds_finish(struct thresholds *ts, const struct series_set *all, uint64_t elapsed_ns)
{
	bool failed = false;

	for (size_t i = 0; i < ts->count; i++) {
		struct threshold_state *s = &ts->items[i];

		/* A run shorter than the window is the window. */
		if (!s->window || (!s->failed && window_span(s->window) + NS_PER_S / 2 < s->t.window_ns))
			look_all(ts, s, all, elapsed_ns);
		failed = failed || s->failed;
	}
	return failed;
}

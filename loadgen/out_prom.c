/* out_prom.c - every series in Prometheus' text: counters, gauges, two counters for a rate, summaries for trends. */
#include "out.h"

#include <string.h>

#include "buf.h"
#include "engine.h"
#include "out_metric.h"
#include "series.h"

static void label_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			buf_add_str(out, "\\n");
		else if (*text == '"' || *text == '\\')
			buf_printf(out, "\\%c", *text);
		else
			buf_add_char(out, *text);
	}
}

/* {name="...",...}; `more` is one label that is written as it is, or NULL. */
static void labels(struct buf *out, const struct series *s, const char *more)
{
	const char *lead = "{";

	for (uint32_t i = 0; i < s->tag_count; i++) {
		buf_add_str(out, lead);
		lead = ",";
		for (const char *c = s->tags[i].key; *c; c++) {
			bool ok = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' ||
			          (c != s->tags[i].key && *c >= '0' && *c <= '9');

			buf_add_char(out, ok ? *c : '_');
		}
		buf_add_str(out, "=\"");
		label_text(out, s->tags[i].value);
		buf_add_char(out, '"');
	}
	if (more)
		buf_printf(out, "%s%s", lead, more);
	if (s->tag_count || more)
		buf_add_char(out, '}');
}

static void head(struct buf *out, const char *name, const char *suffix, const char *type, const char *what)
{
	buf_printf(out, "# HELP probe_load_%s%s %s\n# TYPE probe_load_%s%s %s\n", name, suffix, what, name, suffix,
	           type);
}

static void sample(struct buf *out, const struct series *s, const char *suffix, const char *more, double value)
{
	buf_printf(out, "probe_load_%s%s", s->metric, suffix);
	labels(out, s, more);
	buf_printf(out, " %.17g\n", value);
}

static void summary(struct buf *out, const struct series *s, const char *unit, double scale)
{
	static const double quantiles[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };
	char suffix[32];

	for (size_t i = 0; i < ARRAY_LEN(quantiles) && s->trend.count; i++) {
		char more[40];

		(void)snprintf(more, sizeof(more), "quantile=\"%g\"", quantiles[i]);
		sample(out, s, unit, more, (double)histogram_quantile(&s->trend, quantiles[i]) / scale);
	}
	(void)snprintf(suffix, sizeof(suffix), "%s_sum", unit);
	sample(out, s, suffix, NULL, (double)s->trend.sum / scale);
	(void)snprintf(suffix, sizeof(suffix), "%s_count", unit);
	sample(out, s, suffix, NULL, (double)s->trend.count);
}

static const char *counter_suffix(const struct series *s)
{
	return s->contains == SERIES_DATA ? "_bytes_total" : "_total";
}

static void head_of(struct buf *out, const struct series *s)
{
	switch ((enum series_kind)s->kind) {
	case SERIES_COUNTER:
		head(out, s->metric, counter_suffix(s), "counter", "As k6 counts it.");
		return;
	case SERIES_GAUGE:
		head(out, s->metric, "", "gauge", "The newest value.");
		return;
	case SERIES_TREND:
		head(out, s->metric, s->contains == SERIES_TIME ? "_seconds" : "", "summary",
		     "Quantiles of the whole run so far.");
		return;
	default:
		return; /* two metrics: each has its own */
	}
}

static void value_of(struct buf *out, const struct series *s)
{
	switch ((enum series_kind)s->kind) {
	case SERIES_COUNTER:
		sample(out, s, counter_suffix(s), NULL, s->sum);
		return;
	case SERIES_GAUGE:
		sample(out, s, "", NULL, s->last);
		return;
	case SERIES_TREND:
		if (s->contains == SERIES_TIME)
			summary(out, s, "_seconds", 1e9);
		else
			summary(out, s, "", SERIES_UNIT);
		return;
	default:
		return;
	}
}

/* All series of a metric stand together, as the format wants it. */
static void metric(struct buf *out, const struct series_set *set, const struct series *first)
{
	if (first->kind == SERIES_RATE) {
		head(out, first->metric, "_true_total", "counter", "How often it was true.");
		for (size_t i = 0; i < set->count; i++)
			if (strcmp(set->items[i]->metric, first->metric) == 0)
				sample(out, set->items[i], "_true_total", NULL, (double)set->items[i]->yes);
		head(out, first->metric, "_asked_total", "counter", "How often it was asked.");
		for (size_t i = 0; i < set->count; i++)
			if (strcmp(set->items[i]->metric, first->metric) == 0)
				sample(out, set->items[i], "_asked_total", NULL, (double)set->items[i]->total);
		return;
	}
	head_of(out, first);
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->items[i]->metric, first->metric) == 0)
			value_of(out, set->items[i]);
}

void out_prom(const struct result *r, struct buf *out)
{
	for (size_t i = 0; i < r->series->count; i++)
		if (out_metric_is_first(r->series, i))
			metric(out, r->series, r->series->items[i]);
}

/* cmd_results.c - R...: results files of probe-load, added up: totals, endpoints, and second by second. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "endpoints.h"
#include "json_write.h"
#include "result_read.h"
#include "series_json.h"
#include "units.h"
#include "view.h"

enum { FILE_MAX_BYTES = 1 << 30 };

struct options {
	const char *output;
	bool json;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "json", 0, CLI_FLAG, NULL, "JSON", offsetof(struct options, json) },
	CLI_END,
};

/* A slice of one run, or the same slice of several: then its percentiles are not known. */
struct row {
	uint64_t from_ns, to_ns, requests, failed;
	uint64_t p50_ns, p99_ns, max_ns;
};

struct work {
	struct results sum;
	struct row *rows;
	size_t row_count, next; /* next: of the run that is being read */
	struct series scratch;
	bool failed; /* out of memory */
};

static uint64_t sum_of(const struct series_set *set, const char *metric, struct series *scratch)
{
	if (!series_sum(set, metric, NULL, 0, scratch))
		return 0;
	return scratch->kind == SERIES_COUNTER ? (uint64_t)scratch->sum : scratch->yes;
}

static void add_slice(void *context, uint64_t from_ns, uint64_t to_ns, const struct series_set *slice)
{
	struct work *w = context;
	struct row *row;

	if (w->next == w->row_count) {
		row = realloc(w->rows, (w->row_count + 1) * sizeof(*row));
		if (!row) {
			w->failed = true;
			return;
		}
		w->rows = row;
		w->rows[w->row_count++] = (struct row){ .from_ns = from_ns, .to_ns = to_ns };
	}
	row = &w->rows[w->next++];
	row->requests += sum_of(slice, "http_reqs", &w->scratch);
	row->failed += sum_of(slice, "http_req_failed", &w->scratch);
	if (!series_sum(slice, "http_req_response_time", NULL, 0, &w->scratch) || w->scratch.kind != SERIES_TREND)
		return;
	row->p50_ns = histogram_quantile(&w->scratch.trend, 0.5);
	row->p99_ns = histogram_quantile(&w->scratch.trend, 0.99);
	row->max_ns = w->scratch.trend.max > row->max_ns ? w->scratch.trend.max : row->max_ns;
}

static int read_fd(int fd, struct buf *out, struct err *err)
{
	static char block[1 << 16];
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s", strerror(errno));
		if (out->len + (size_t)n > FILE_MAX_BYTES)
			return err_set(err, -EFBIG, "larger than 1 GiB");
		buf_add(out, block, (size_t)n);
	}
	return out->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int add_file(struct work *w, const char *path, struct err *err)
{
	CLEANUP(buf_done) struct buf bytes = { 0 };
	struct results r;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0) {
		rc = -errno;
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	rc = read_fd(fd, &bytes, err);
	(void)close(fd); /* only read */
	w->next = 0;
	if (rc == 0)
		rc = result_read(bytes.data ? bytes.data : "", bytes.len, add_slice, w, &r, err);
	if (rc < 0)
		return err_wrap(err, "%s", path);
	if (w->sum.runs == 0) {
		w->sum = r;
		return 0;
	}
	rc = result_merge(&w->sum, &r, err);
	results_done(&r);
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

/* ---- as text ---- */

static void line(const struct view *v, const char *label, const char *text)
{
	buf_printf(v->out, "%-12s ", label);
	view_text(v, VIEW_PLAIN, text);
	buf_add_char(v->out, '\n');
}

static void cell(struct buf *out, uint64_t ns)
{
	char text[24];

	buf_printf(out, " %9s", units_print_duration(text, sizeof(text), ns));
}

static void say_endpoints(const struct view *v, const struct endpoint_list *list)
{
	buf_printf(v->out, "\n%12s %9s %9s %9s %9s %9s  %s\n", "requests", "failed", "mean", "p50", "p99", "max",
	           "endpoint");
	for (size_t i = 0; i < list->count; i++) {
		const struct endpoint *e = &list->items[i];

		buf_printf(v->out, "%12" PRIu64 " %9" PRIu64, e->requests, e->failed);
		cell(v->out, (uint64_t)histogram_mean(&e->duration));
		cell(v->out, histogram_quantile(&e->duration, 0.5));
		cell(v->out, histogram_quantile(&e->duration, 0.99));
		cell(v->out, e->duration.max);
		buf_add_str(v->out, "  ");
		view_text(v, VIEW_PLAIN, e->method);
		buf_add_str(v->out, *e->method ? " " : "");
		view_text(v, VIEW_PLAIN, e->name);
		buf_add_char(v->out, '\n');
	}
}

static void say_rows(const struct work *w, struct buf *out)
{
	bool one = w->sum.runs == 1;

	buf_printf(out, "\n%12s %9s %9s %9s%s\n", "from", "requests", "failed", "max",
	           one ? "       p50       p99" : "");
	for (size_t i = 0; i < w->row_count; i++) {
		const struct row *row = &w->rows[i];

		buf_printf(out, "%10.1f s %9" PRIu64 " %9" PRIu64, (double)row->from_ns / 1e9, row->requests,
		           row->failed);
		cell(out, row->max_ns);
		if (one) {
			cell(out, row->p50_ns);
			cell(out, row->p99_ns);
		}
		buf_add_char(out, '\n');
	}
}

static void say_text(struct work *w, const struct endpoint_list *list, struct buf *out)
{
	const struct view v = { out, cmd_may_colour(NULL) };
	uint64_t requests = sum_of(&w->sum.all, "http_reqs", &w->scratch),
	         failed = sum_of(&w->sum.all, "http_req_failed", &w->scratch);
	double seconds = (double)w->sum.elapsed_ns / 1e9;

	for (size_t i = 0; i < w->sum.fact_count; i++)
		if (strcmp(w->sum.facts[i].name, "start_ns") != 0 && strcmp(w->sum.facts[i].name, "window_ns") != 0)
			line(&v, w->sum.facts[i].name, w->sum.facts[i].text);
	if (w->sum.runs > 1)
		buf_printf(out, "%-12s %" PRIu64 ", added up\n", "runs", w->sum.runs);
	if (w->sum.ended < w->sum.runs)
		buf_printf(out, "%-12s %" PRIu64 " of %" PRIu64 " did not end: still running, or killed\n",
		           "unfinished", w->sum.runs - w->sum.ended, w->sum.runs);
	buf_printf(out, "%-12s %" PRIu64 " in %.1f s, %.0f/s\n", "requests", requests, seconds,
	           seconds > 0 ? (double)requests / seconds : 0);
	buf_printf(out, "%-12s %" PRIu64 " (%.2f %%)\n", "failed", failed,
	           requests ? 100 * (double)failed / (double)requests : 0);
	say_endpoints(&v, list);
	say_rows(w, out);
}

/* ---- as JSON ---- */

static bool is_first(const struct series_set *set, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(set->items[i]->metric, set->items[index]->metric) == 0)
			return false;
	return true;
}

static void metrics_object(struct json *j, struct work *w)
{
	double seconds = (double)w->sum.elapsed_ns / 1e9;

	json_key(j, "metrics");
	json_object_begin(j);
	for (size_t i = 0; i < w->sum.all.count; i++) {
		const struct series *s = w->sum.all.items[i];

		if (!is_first(&w->sum.all, i) || !series_sum(&w->sum.all, s->metric, NULL, 0, &w->scratch))
			continue;
		json_key(j, s->metric);
		json_object_begin(j);
		json_key_string(j, "type", series_kind_name(s->kind));
		json_key_string(j, "contains", series_contains_name(s->contains));
		series_json_values(j, &w->scratch, seconds > 0 ? w->scratch.sum / seconds : 0);
		json_object_end(j);
	}
	json_object_end(j);
}

static void endpoints_array(struct json *j, const struct endpoint_list *list)
{
	json_key(j, "endpoints");
	json_array_begin(j);
	for (size_t i = 0; i < list->count; i++) {
		json_object_begin(j);
		json_key_string(j, "name", list->items[i].name);
		json_key_string(j, "method", list->items[i].method);
		json_key_u64(j, "requests", list->items[i].requests);
		json_key_u64(j, "failed", list->items[i].failed);
		series_json_trend(j, &list->items[i].duration);
		json_object_end(j);
	}
	json_array_end(j);
}

static void slices_array(struct json *j, const struct work *w)
{
	json_key(j, "slices");
	json_array_begin(j);
	for (size_t i = 0; i < w->row_count; i++) {
		const struct row *row = &w->rows[i];

		json_object_begin(j);
		json_key_double(j, "from_s", (double)row->from_ns / 1e9);
		json_key_double(j, "to_s", (double)row->to_ns / 1e9);
		json_key_u64(j, "requests", row->requests);
		json_key_u64(j, "failed", row->failed);
		json_key_double(j, "max_ms", (double)row->max_ns / 1e6);
		if (w->sum.runs == 1) {
			json_key_double(j, "p50_ms", (double)row->p50_ns / 1e6);
			json_key_double(j, "p99_ms", (double)row->p99_ns / 1e6);
		}
		json_object_end(j);
	}
	json_array_end(j);
}

static void say_json(struct work *w, const struct endpoint_list *list, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_u64(&j, "runs", w->sum.runs);
	json_key_u64(&j, "ended", w->sum.ended);
	json_key_double(&j, "elapsed_s", (double)w->sum.elapsed_ns / 1e9);
	json_key_u64(&j, "cut_bytes", w->sum.cut_bytes);
	json_key(&j, "facts");
	json_object_begin(&j);
	for (size_t i = 0; i < w->sum.fact_count; i++)
		json_key_string(&j, w->sum.facts[i].name, w->sum.facts[i].text);
	json_object_end(&j);
	metrics_object(&j, w);
	endpoints_array(&j, list);
	slices_array(&j, w);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

static int write_result(struct work *w, const struct options *o, struct err *err)
{
	CLEANUP(buf_done) struct buf out = { 0 };
	struct endpoint_list list;

	if (w->failed || endpoints_make(&w->sum.all, &list) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (o->json)
		say_json(w, &list, &out);
	else
		say_text(w, &list, &out);
	endpoints_done(&list);
	return out.failed ? err_set(err, -ENOMEM, "out of memory") : cmd_output(o->output, &out, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct work w = { 0 };
	struct cli_args args;
	int rc = cmd_parse(&cmd_results, argc, argv, &o, &args, 1, SIZE_MAX, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (series_sum_init(&w.scratch) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < args.count && rc == 0; i++)
		rc = add_file(&w, args.items[i], err);
	if (rc == 0)
		rc = write_result(&w, &o, err);
	results_done(&w.sum);
	free(w.rows);
	series_sum_done(&w.scratch);
	return rc;
}

const struct cli_command cmd_results = {
	"results",
	run,
	option_table,
	"R...",
	"load-test results: files of probe-load --out results=, added up exactly",
	"  probe-analyze results run.results\n"
	"  probe-analyze results shard-*.results --json -o all.json\n",
};

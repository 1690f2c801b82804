#undef NDEBUG
#include "views_check.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "database.h"
#include "diff.h"
#include "export.h"
#include "export_sarif.h"
#include "fold.h"
#include "leaks.h"
#include "profile.h"
#include "suppressions.h"
#include "symbolize.h"
#include "json_write.h"
#include "view_database.h"
#include "view_leaks.h"

static void print_leaks(const struct model *m, const struct leaks *l, const struct suppressions *s)
{
	struct buf out = { 0 };
	const struct view v = { &out, true };
	const struct view_leaks in = {
		.m = m,
		.path = "x",
		.leaks = l,
		.suppressions = s,
		.suppressions_note = "",
		.suspects_note = "none",
	};

	view_leaks_text(&v, &in);
	view_leaks_json(&out, &in);
	export_sarif(&out, &in);
	assert(!out.failed && out.len > 0);
	buf_done(&out);
}

/* Every row is in one leak, told or hidden. */
static void view_leaks_of(const struct model *m, struct symbolizer *symbols)
{
	const char *lines = m->leaks.suppressions;
	struct suppressions s = { 0 };
	struct leaks *l = NULL;
	struct err err = { 0 };
	size_t bad = 0;
	uint64_t bytes = 0;
	int rc;

	assert(suppressions_add(&s, lines, strlen(lines), "the program", &bad, &err) == 0);
	rc = m->leaks.done ? leaks_build(m, symbols, &s, true, &l, &err) : 0;
	assert(rc == 0 || rc == -E2BIG);
	if (l) {
		for (size_t i = 0; i < m->leaks.count; i++)
			bytes += m->leaks.rows[i].bytes;
		for (size_t i = 0; i < l->count; i++)
			bytes -= l->items[i].all.bytes;
		assert(bytes == 0);
		print_leaks(m, l, &s);
	}
	leaks_free(l);
	suppressions_done(&s);
}

/* Counts are doubles, of sampled heaps fractions, and rounded a stack: stacks that became one are rounded once. */
static bool is_exact(const struct profile *p)
{
	if (p->metric == METRIC_CPU || p->metric == METRIC_WALL)
		return p->total < UINT64_C(1) << 53;
	return strcmp(profile_metric_unit(p->metric), "bytes") == 0;
}

static bool is_same_sum(const struct profile *p, uint64_t sum)
{
	uint64_t apart = sum > p->total ? sum - p->total : p->total - sum;

	return apart <= (is_exact(p) ? 0 : p->stack_count + (p->total >> 50));
}

/* Counts that a hostile file may claim would make files of terabytes, sample by sample: those are left to memory and disk. */
static void export_of(const struct model *m, const struct profile *p)
{
	struct export_options options = { .tid = EXPORT_ALL_THREADS, .model = m };
	uint64_t frames = 0;

	for (size_t i = 0; i < p->stack_count; i++)
		frames += p->stacks[i].depth * (uint64_t)64;
	if (frames + p->sample_count > 1000000 || (p->period_ns && p->total > 100000))
		return;
	for (size_t i = 0; i < exporter_count; i++) {
		struct buf out = { 0 };
		struct err err = { 0 };
		int rc = exporters[i].write(p, &options, &out, &err);

		assert(rc == 0 || (rc == -EINVAL && err.text[0]));
		assert(!out.failed && (rc < 0 || out.len > 0 || p->stack_count == 0));
		buf_done(&out);
	}
}

/* Of the first few requests that have calls. */
static void view_database_of(const struct model *m)
{
	enum { MOST = 4 };
	struct buf out = { 0 };
	const struct view v = { &out, true };
	struct database_rows rows = { 0 };
	struct err err = { 0 };
	struct json j;

	assert(database_rows(m, &rows, &err) == 0);
	view_database_rows(&v, &rows);
	json_init(&j, &out);
	json_array_begin(&j);
	view_database_rows_json(&j, &rows);
	for (size_t i = 0; i < m->database.span_count && i < MOST; i++) {
		struct database_request r = { 0 };

		assert(database_request(m, m->database.spans[i].request, &r, &err) == 0);
		assert(r.span_count > 0 && r.use_count > 0);
		view_database_request_json(&j, m, &r);
		view_database_request(&v, m, &r, 1, true);
		database_request_done(&r);
	}
	json_array_end(&j);
	database_rows_done(&rows);
	buf_done(&out);
}

void views_check(struct model *m)
{
	struct symbolizer *symbols = NULL;
	struct err err = { 0 };

	for (size_t i = 0; i < m->module_count; i++)
		m->modules[i].path = "/nowhere"; /* a fuzzer must not open files of its own choice */
	assert(symbolizer_new(m, NULL, &symbols, &err) == 0);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		struct profile *p = NULL, *folded = NULL;
		struct diff *d = NULL;
		int rc = profile_build(m, symbols, (enum profile_metric)metric, &p, &err);

		assert(rc == 0 || ((rc == -ENODATA || rc == -E2BIG) && err.text[0]));
		if (rc < 0)
			continue;
		assert(fold_names(p, true, &folded, &err) == 0);
		assert(is_same_sum(p, folded->total));
		assert(diff_build(folded, p, false, &d, &err) == 0);
		assert(is_same_sum(p, d->total_before) && d->total_after == p->total);
		for (size_t i = 0; is_exact(p) && i < d->stack_count; i++)
			assert(d->stacks[i].delta == 0);
		export_of(m, p);
		diff_free(d);
		profile_free(folded);
		profile_free(p);
	}
	view_leaks_of(m, symbols);
	view_database_of(m);
	symbolizer_free(symbols);
}

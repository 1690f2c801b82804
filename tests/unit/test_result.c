/* Tests of series.c, result_write.c, result_read.c: what is written is read, at every cut; runs add up exactly; wrong bytes are
 * refused with a sentence. */
#include "t.h"

#include <errno.h>

#include "buf.h"
#include "result_layout.h"
#include "result_read.h"
#include "result_write.h"
#include "units.h"

static struct series *get(struct series_set *set, const char *metric, enum series_kind kind, const char *name)
{
	return series_get(set, metric, kind, SERIES_DEFAULT, &(struct series_tag){ "name", name }, 1);
}

static void names_and_tags(void **state)
{
	const struct series_tag ab[] = { { "a", "1" }, { "b", "2" } }, ba[] = { { "b", "2" }, { "a", "1" } },
	                        twice[] = { { "a", "1" }, { "a", "2" } };
	struct series_set set = { 0 };
	struct series *s = series_get(&set, "m", SERIES_COUNTER, SERIES_DEFAULT, ab, 2);

	(void)state;
	assert_non_null(s);
	assert_ptr_equal(series_get(&set, "m", SERIES_COUNTER, SERIES_DEFAULT, ba, 2), s);
	assert_ptr_not_equal(series_get(&set, "m", SERIES_COUNTER, SERIES_DEFAULT, ab, 1), s);
	assert_null(series_get(&set, "m", SERIES_RATE, SERIES_DEFAULT, ab, 2)); /* another kind */
	assert_null(series_get(&set, "m", SERIES_COUNTER, SERIES_DEFAULT, twice, 2));
	assert_int_equal(set.refused, 2);
	assert_true(series_matches(s, &(struct series_tag){ "b", "2" }, 1));
	assert_false(series_matches(s, &(struct series_tag){ "b", "1" }, 1));
	assert_false(series_matches(s, &(struct series_tag){ "c", "1" }, 1));
	assert_string_equal(series_tag_value(s, "a"), "1");
	series_set_done(&set);
}

/* `seed` makes runs differ. Returns what was written; `all` is the truth. */
static void write_run(struct buf *out, struct series_set *all, uint64_t seed, int slices)
{
	struct series_set slice = { 0 };
	struct result_writer w;

	result_write_begin(&w, out);
	result_write_fact(&w, "target", seed == 1 ? "a" : "b");
	for (int i = 0; i < slices; i++) {
		const char *name = i % 2 ? "x" : "y";
		struct series *both[2][4];
		struct series_set *sets[] = { all, &slice };

		for (size_t k = 0; k < slice.count; k++)
			series_clear(slice.items[k]);
		for (int k = 0; k < 2; k++) {
			both[k][0] = get(sets[k], "n", SERIES_COUNTER, name);
			both[k][1] = get(sets[k], "r", SERIES_RATE, name);
			both[k][2] = get(sets[k], "g", SERIES_GAUGE, name);
			both[k][3] = get(sets[k], "t", SERIES_TREND, name);
			both[k][0]->sum += 2.5;
			both[k][1]->yes += 1;
			both[k][1]->total += 3;
			series_gauge_set(both[k][2], (double)i);
			for (uint64_t v = 0; v < 50; v++)
				histogram_record(&both[k][3]->trend, (v * seed * 7919 + (uint64_t)i) << (v % 40));
		}
		result_write_slice(&w, (uint64_t)i * NS_PER_S, (uint64_t)(i + 1) * NS_PER_S, all, &slice);
	}
	result_write_fact(&w, "verdict", "VALID");
	result_write_end(&w);
	assert_false(out->failed);
	series_set_done(&slice);
}

static void check_same(const struct series_set *got, const struct series_set *want)
{
	assert_int_equal(got->count, want->count);
	for (size_t i = 0; i < want->count; i++) {
		const struct series *w = want->items[i], *g = series_find(got, w->metric, w->tags, w->tag_count);

		assert_non_null(g);
		assert_int_equal(g->kind, w->kind);
		assert_true(g->yes == w->yes && g->total == w->total && g->trend.count == w->trend.count);
		assert_true(g->sum >= w->sum && g->sum <= w->sum && g->max >= w->max && g->max <= w->max);
		if (w->kind != SERIES_TREND)
			continue;
		assert_true(g->trend.sum == w->trend.sum && g->trend.min == w->trend.min &&
		            g->trend.max == w->trend.max);
		assert_memory_equal(g->trend.buckets, w->trend.buckets, HISTOGRAM_BUCKETS * sizeof(*w->trend.buckets));
	}
}

static void count_slice(void *context, uint64_t from_ns, uint64_t to_ns, const struct series_set *slice)
{
	uint64_t *seen = context;

	assert_true(to_ns - from_ns == NS_PER_S);
	assert_true(slice->count >= 4);
	++*seen;
}

static void what_is_written_is_read(void **state)
{
	struct buf out = { 0 };
	struct series_set all = { 0 };
	struct results r;
	struct err err = { 0 };
	uint64_t seen = 0;

	(void)state;
	write_run(&out, &all, 1, 5);
	if (result_read(out.data, out.len, count_slice, &seen, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(seen, 5);
	assert_true(r.slices == 5 && r.elapsed_ns == 5 * NS_PER_S && r.ended == 1 && r.runs == 1 && r.cut_bytes == 0);
	assert_string_equal(result_fact(&r, "target"), "a");
	assert_string_equal(result_fact(&r, "verdict"), "VALID");
	assert_null(result_fact(&r, "nothing"));
	check_same(&r.all, &all);
	results_done(&r);
	series_set_done(&all);
	buf_done(&out);
}

/* A reader that comes while it is written, or after a kill: never refused, never more than before, no byte past the end. */
static void every_cut_is_readable(void **state)
{
	struct buf out = { 0 };
	struct series_set all = { 0 };
	uint64_t slices = 0;

	(void)state;
	write_run(&out, &all, 1, 3);
	for (size_t n = RESULT_HEADER_BYTES; n <= out.len; n++) {
		struct t_guarded g = t_guarded_new(out.data, n);
		struct results r;
		struct err err = { 0 };

		if (result_read(g.data, g.len, NULL, NULL, &r, &err) < 0)
			fail_msg("%zu bytes: %s", n, err.text);
		assert_true(r.slices >= slices && r.slices <= slices + 1);
		assert_int_equal(r.ended, n == out.len);
		slices = r.slices;
		results_done(&r);
		t_guarded_free(&g);
	}
	assert_int_equal(slices, 3);
	series_set_done(&all);
	buf_done(&out);
}

static void any_wrong_byte_is_noticed(void **state)
{
	struct buf out = { 0 };
	struct series_set all = { 0 };

	(void)state;
	write_run(&out, &all, 1, 1);
	for (size_t i = 0; i < out.len; i++) {
		struct results r;
		struct err err = { 0 };
		int rc;

		out.data[i] ^= 0x21;
		rc = result_read(out.data, out.len, NULL, NULL, &r, &err);
		if (rc == 0) { /* a length that now points past the end is what a cut looks like */
			assert_true(r.cut_bytes > 0);
			results_done(&r);
		} else {
			assert_true(err.text[0] != '\0');
		}
		out.data[i] ^= 0x21;
	}
	series_set_done(&all);
	buf_done(&out);
}

static void runs_add_up_exactly(void **state)
{
	struct buf a = { 0 }, b = { 0 };
	struct series_set all = { 0 }, second = { 0 };
	struct results ra, rb;

	(void)state;
	write_run(&a, &all, 1, 4);
	write_run(&b, &second, 3, 6);
	assert_int_equal(series_set_merge(&all, &second), 0);
	assert_int_equal(result_read(a.data, a.len, NULL, NULL, &ra, NULL), 0);
	assert_int_equal(result_read(b.data, b.len, NULL, NULL, &rb, NULL), 0);
	assert_int_equal(result_merge(&ra, &rb, NULL), 0);
	check_same(&ra.all, &all);
	assert_true(ra.runs == 2 && ra.ended == 2 && ra.slices == 10 && ra.elapsed_ns == 6 * NS_PER_S);
	assert_string_equal(result_fact(&ra, "target"), "a; b");
	assert_string_equal(result_fact(&ra, "verdict"), "VALID");
	results_done(&ra);
	results_done(&rb);
	series_set_done(&all);
	series_set_done(&second);
	buf_done(&a);
	buf_done(&b);
}

static void what_is_no_results_file(void **state)
{
	static const char newer[] = RESULT_MAGIC "\x02\0\0\0";
	struct results r;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(result_read("", 0, NULL, NULL, &r, &err), -EPROTO);
	assert_int_equal(result_read("{\"a\":1, \"b\":2}", 14, NULL, NULL, &r, &err), -EPROTO);
	assert_int_equal(result_read(newer, RESULT_HEADER_BYTES, NULL, NULL, &r, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "version 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_tags),        cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(every_cut_is_readable), cmocka_unit_test(any_wrong_byte_is_noticed),
		cmocka_unit_test(runs_add_up_exactly),   cmocka_unit_test(what_is_no_results_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

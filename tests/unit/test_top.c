/* Readings of a live file to pictures, and pictures to screens of any size. */
#include "t.h"

#include "buf.h"
#include "model.h"
#include "snapshot_build.h"
#include "snapshot_read.h"
#include "top.h"
#include "units.h"
#include "view_top.h"

/* The example as a reading: what was recorded until `later_ns` after it. Its tables may be written to. */
static struct model *reading(uint64_t later_ns)
{
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), false, &bytes);
	struct model *m = NULL;
	struct err err = { 0 };

	assert_int_equal(snapshot_read(file, bytes, &m, &err), 0);
	free(file);
	m->end_ns += later_ns;
	return m;
}

static const struct top_picture *add(struct top *t, struct model *m)
{
	const struct top_picture *p = NULL;
	struct err err = { 0 };

	assert_int_equal(top_add(t, m, &p, &err), 0);
	return p;
}

static struct top *begin(uint64_t window_ns)
{
	struct top *t = NULL;
	struct err err = { 0 };

	assert_int_equal(top_new(window_ns, NULL, &t, &err), 0);
	return t;
}

static void growth_and_rates_are_of_two_readings(void **state)
{
	struct top *t = begin(10 * NS_PER_S);
	struct model *m = reading(0);
	uint64_t live, count = m->requests.count, route = m->requests.routes[0].count;
	const struct top_picture *p = add(t, m);

	(void)state;
	live = p->live_bytes;
	assert_int_equal(p->growth_ns, 0);
	assert_true(p->growth == 0 && p->request_rate == 0 && p->has_requests);
	assert_int_equal(p->requests, count);

	/* Ten seconds later: 6000 bytes more on the first stack, 50 more requests of 3 ms, half a second of CPU time. */
	m = reading(10 * NS_PER_S);
	m->heap[0].alloc_bytes += 6000;
	m->requests.count += 50;
	m->requests.routes[0].buckets[0].count += 50;
	m->requests.routes[0].count += 50;
	m->process_cpu_ns += NS_PER_S / 2;
	p = add(t, m);
	assert_int_equal(p->growth_ns, 10 * NS_PER_S);
	assert_int_equal(p->live_bytes, live + 6000);
	assert_true(p->growth > 35999 && p->growth < 36001);
	assert_true(p->request_rate > 4.99 && p->request_rate < 5.01);
	assert_true(p->cpu_percent > 4.99 && p->cpu_percent < 5.01);
	for (size_t i = 0; i < p->route_count; i++) {
		bool grew = p->routes[i].count == route + 50 && p->routes[i].rate > 4.99;

		T_CHECK(p->routes[i].route, grew || p->routes[i].rate == 0);
	}
	/* Only the new ones count in what the header says: all of one range. */
	assert_int_equal(p->p50_ns, p->p99_ns);
	top_free(t);
}

static void only_the_windows_samples_count(void **state)
{
	const struct model *m = build_example();
	uint64_t last = m->samples[m->sample_count - 1].time_ns, weight = 0, all = 0;
	struct top *t;
	const struct top_picture *p;

	(void)state;
	for (size_t i = 0; i < m->sample_count; i++) {
		all += m->samples[i].weight;
		if (m->samples[i].time_ns == last)
			weight += m->samples[i].weight;
	}
	assert_true(weight < all);
	t = begin(m->end_ns - last);
	p = add(t, reading(0));
	assert_int_equal(p->window_samples, weight);
	top_free(t);
	t = begin(m->end_ns);
	p = add(t, reading(0));
	assert_int_equal(p->window_samples, all);
	top_free(t);
}

/* Lines, and the longest of them in characters. */
static void measure(const struct buf *b, size_t *ret_lines, size_t *ret_columns)
{
	size_t n = 0;

	*ret_lines = 1;
	*ret_columns = 0;
	for (size_t i = 0; i < b->len; i++) {
		unsigned char c = (unsigned char)b->data[i];

		assert_true(c == '\n' ||
		            c >= 0x20); /* no escape sequence from a name, and none of ours without colours */
		if (c == '\n') {
			++*ret_lines;
			n = 0;
		} else if ((c & 0xc0) != 0x80) {
			n++;
		}
		*ret_columns = n > *ret_columns ? n : *ret_columns;
	}
}

static void every_size_is_filled_and_none_overrun(void **state)
{
	struct top *t = begin(60 * NS_PER_S);
	struct model *m = reading(0);
	struct top_picture *p;
	struct buf b = { 0 };
	const struct view v = { &b, false };

	(void)state;
	m->comm = "evil\033]0;owned\a\nname";
	m->requests.routes[0].route = "/\033[2J\xff\xe2\x80\xae";
	p = (struct top_picture *)add(t, m);
	for (unsigned columns = VIEW_TOP_MIN_COLUMNS; columns < 140; columns += 7) {
		for (unsigned rows = VIEW_TOP_MIN_ROWS; rows < 40; rows += 3) {
			for (unsigned k = 0; k < TOP_TABLES * 2; k++) {
				struct view_top how = {
					.table = (enum top_table)(k / 2), .help = k % 2, .scroll = 1000, .note = "x"
				};
				size_t lines, widest;

				buf_clear(&b);
				view_top_screen(&v, p, &how, columns, rows);
				measure(&b, &lines, &widest);
				assert_int_equal(lines, rows);
				assert_true(widest <= columns);
			}
		}
	}
	buf_done(&b);
	top_free(t);
}

static void tables_sort_by_any_column(void **state)
{
	struct top *t = begin(60 * NS_PER_S);
	struct top_picture *p = (struct top_picture *)add(t, reading(0));
	struct buf b = { 0 };
	const struct view v = { &b, false };
	struct view_top how = { .table = TOP_CPU };

	(void)state;
	assert_true(p->function_count > 1);
	for (unsigned k = 0; k < TOP_TABLES; k++) {
		how.table = (enum top_table)k;
		for (unsigned i = 0; i < view_top_sort_columns(how.table); i++) {
			how.sort[k] = i;
			how.reversed[k] = i % 2;
			buf_clear(&b);
			view_top_screen(&v, p, &how, 100, 24);
		}
	}
	how = (struct view_top){ .table = TOP_CPU, .sort = { 1 } };
	view_top_screen(&v, p, &how, 100, 24);
	for (size_t i = 1; i < p->function_count; i++)
		assert_true(p->functions[i - 1].total >= p->functions[i].total);
	how.reversed[TOP_CPU] = true;
	view_top_screen(&v, p, &how, 100, 24);
	for (size_t i = 1; i < p->function_count; i++)
		assert_true(p->functions[i - 1].total <= p->functions[i].total);
	buf_done(&b);
	top_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(growth_and_rates_are_of_two_readings),
		cmocka_unit_test(only_the_windows_samples_count),
		cmocka_unit_test(every_size_is_filled_and_none_overrun),
		cmocka_unit_test(tables_sort_by_any_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

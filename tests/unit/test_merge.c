/* Models in, one model out; and a model as a file and back. */
#include "t.h"

#include <errno.h>

#include "buf.h"
#include "merge.h"
#include "model.h"
#include "snapshot_build.h"
#include "snapshot_encode.h"
#include "snapshot_read.h"

static struct model *read_back(const struct model *m)
{
	struct buf b = { 0 };
	struct model *again = NULL;
	struct err err = { 0 };

	if (snapshot_encode(m, &b, &err) < 0 || snapshot_read((const uint8_t *)b.data, b.len, &again, &err) < 0)
		fail_msg("%s", err.text);
	buf_done(&b);
	return again;
}

/* The result is a model that passes every check, and a file that reads back the same. */
static struct model *merged_of(const struct model *const *parts, size_t n, const struct merge_limits *limits)
{
	const struct merge_about about = { .recordings = n, .files = n };
	struct merge *g = NULL;
	struct model *m = NULL, *again;
	struct err err = { 0 };
	int rc = merge_new(limits, &about, &g, &err);

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = merge_add(g, parts[i], &err);
	if (rc == 0)
		rc = merge_finish(g, 0, &m, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	merge_free(g); /* the model owns all it leads to */
	model_check(m);
	again = read_back(m);
	model_check(again);
	assert_int_equal(build_differs(m, again), 0);
	model_free(again);
	return m;
}

static uint64_t cpu_ns(const struct model *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->cpu_count; i++)
		sum += m->cpu[i].samples * m->cpu_period_ns;
	return sum;
}

struct sums {
	uint64_t cpu_ns, window_ns, offcpu, alloc, freed, peak, mmap, leaked, misuse, routes, calls, lost;
	double blocks, temporary, lifetimes, leaks;
};

static struct sums sums_of(const struct model *m)
{
	struct sums s = { .cpu_ns = cpu_ns(m) };

	for (size_t i = 0; i < m->sample_count; i++)
		s.window_ns += m->samples[i].weight * m->cpu_period_ns;
	for (size_t i = 0; i < m->offcpu.row_count; i++)
		s.offcpu += m->offcpu.rows[i].samples * m->offcpu.period_ns;
	for (size_t i = 0; i < m->heap_count; i++) {
		s.alloc += m->heap[i].alloc_bytes;
		s.freed += m->heap[i].free_bytes;
		s.peak += m->heap[i].peak_bytes;
		s.blocks += m->heap[i].alloc_count;
		s.temporary += m->heap[i].temporary_count;
		for (unsigned k = 0; m->heap[i].detail && k < SNAP_LIFETIMES; k++)
			s.lifetimes += m->heap[i].detail->lifetime[k];
	}
	for (size_t i = 0; i < m->mmap_count; i++)
		s.mmap += m->mmap[i].alloc_bytes;
	for (size_t i = 0; i < m->leaks.count; i++) {
		s.leaked += m->leaks.rows[i].bytes;
		s.leaks += m->leaks.rows[i].count;
	}
	for (size_t i = 0; i < m->misuse_count; i++)
		s.misuse += m->misuse[i].count;
	for (size_t i = 0; i < m->requests.route_count; i++)
		s.routes += m->requests.routes[i].count;
	for (size_t i = 0; i < m->database.row_count; i++)
		s.calls += m->database.rows[i].count;
	for (size_t i = 0; i < m->loss_count; i++)
		s.lost += strncmp(m->losses[i].name, "merge.", 6) == 0 ? 0 : m->losses[i].count;
	return s;
}

/* What two of the example sum up to; the window's samples may have been left out. */
static void assert_twice(const struct model *m, const struct model *one, bool whole_window)
{
	struct sums a = sums_of(m), b = sums_of(one);

	assert_int_equal(a.cpu_ns, 2 * b.cpu_ns);
	if (whole_window)
		assert_int_equal(a.window_ns, 2 * b.window_ns);
	assert_int_equal(a.offcpu, 2 * b.offcpu);
	assert_int_equal(a.alloc, 2 * b.alloc);
	assert_int_equal(a.freed, 2 * b.freed);
	assert_int_equal(a.peak, 2 * b.peak);
	assert_int_equal(a.mmap, 2 * b.mmap);
	assert_int_equal(a.leaked, 2 * b.leaked);
	assert_int_equal(a.routes, 2 * b.routes);
	assert_int_equal(a.calls, 2 * b.calls);
	assert_int_equal(a.lost, 2 * b.lost);
	assert_true(a.blocks == 2 * b.blocks && a.temporary == 2 * b.temporary);
	assert_true(a.lifetimes == 2 * b.lifetimes && a.leaks == 2 * b.leaks);
	assert_int_equal(m->process_cpu_ns, 2 * one->process_cpu_ns);
	assert_int_equal(m->heap_peak_bytes, 2 * one->heap_peak_bytes);
	assert_int_equal(m->requests.count, 2 * one->requests.count);
}

static void a_file_holds_all_of_a_model(void **state)
{
	struct model *again = read_back(build_example());

	(void)state;
	assert_int_equal(build_differs(build_example(), again), 0);
	model_free(again);
}

/* Nothing changes but what INFO says of the writing. */
static void one_recording_stays_as_it_is(void **state)
{
	const struct model *one = build_example();
	struct model *m = merged_of(&one, 1, &merge_default_limits);

	(void)state;
	assert_string_equal(m->reason, "merge");
	assert_int_equal(m->pid, one->pid);
	assert_int_equal(m->thread_count, one->thread_count);
	assert_int_equal(m->threads[1].tid, one->threads[1].tid);
	assert_true(sums_of(m).alloc == sums_of(one).alloc && sums_of(m).cpu_ns == sums_of(one).cpu_ns);
	assert_int_equal(m->module_count, one->module_count);
	for (size_t i = 0; i < m->module_count; i++)
		assert_int_equal(m->modules[i].start, one->modules[i].start);
	assert_int_equal(m->requests.request_count, one->requests.request_count);
	model_free(m);
}

/* The same program at other addresses: one module, one stack. */
static void addresses_are_those_of_the_file(void **state)
{
	const uint64_t by = 0x7000000;
	struct model other = *build_example();
	const struct model *parts[2] = { build_example(), &other };
	struct model_node *nodes = calloc(other.node_count, sizeof(*nodes));
	struct model_module *modules = calloc(other.module_count, sizeof(*modules));
	struct model *twice, *moved;

	(void)state;
	other.pid++;
	memcpy(nodes, other.nodes, other.node_count * sizeof(*nodes));
	memcpy(modules, other.modules, other.module_count * sizeof(*modules));
	for (size_t i = 0; i < other.node_count; i++)
		nodes[i].pc += nodes[i].pc >= SNAP_PC_SPECIAL_END && nodes[i].pc < SNAP_PC_KERNEL ? by : 0;
	for (size_t i = 0; i < other.module_count; i++) {
		modules[i].start += by;
		modules[i].end += by;
		modules[i].bias += by;
	}
	twice = merged_of(parts, 2, &merge_default_limits);
	other.nodes = nodes;
	other.modules = modules;
	moved = merged_of(parts, 2, &merge_default_limits);
	assert_int_equal(moved->module_count, twice->module_count);
	assert_int_equal(moved->node_count, twice->node_count);
	assert_true(moved->node_count <= parts[0]->node_count);
	assert_twice(moved, parts[0], true);
	assert_twice(twice, parts[0], true);
	assert_int_equal(moved->pid, 0); /* of several processes */
	assert_int_equal(moved->requests.request_count, 2 * parts[0]->requests.request_count);
	model_free(twice);
	model_free(moved);
	free(nodes);
	free(modules);
}

static uint64_t lost(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->loss_count; i++)
		if (strcmp(m->losses[i].name, name) == 0)
			return m->losses[i].count;
	return 0;
}

/* Room for next to nothing: what is left out is counted, and the sums stay. */
static void full_tables_keep_the_sums(void **state)
{
	static const struct merge_limits tiny = { .nodes = 3,
		                                  .modules = 1,
		                                  .threads = 1,
		                                  .rows = 4,
		                                  .samples = 1,
		                                  .requests = 1,
		                                  .spans = 1,
		                                  .routes = 1,
		                                  .marks = 1,
		                                  .misuse = 1,
		                                  .names = 64 };
	static const char *const names[] = { "merge.stacks",   "merge.modules", "merge.threads", "merge.samples",
		                             "merge.requests", "merge.spans",   "merge.routes",  "merge.marks" };
	struct model other = *build_example();
	const struct model *parts[2] = { build_example(), &other };
	struct model *m;

	(void)state;
	other.pid++;
	m = merged_of(parts, 2, &tiny);
	assert_twice(m, parts[0], false);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		T_CHECK(names[i], lost(m, names[i]) > 0);
	assert_true(m->node_count <= 3 && m->module_count <= 1 && m->thread_count == 1 && m->sample_count <= 1);
	assert_int_equal(m->requests.request_count, 1);
	assert_int_equal(m->requests.route_count, 1);
	assert_string_equal(m->requests.routes[0].route, "_OTHER");
	model_free(m);
}

/* 99 and 50 samples a second: the merged period divides both, and times stay exact. */
static void other_periods_keep_the_time(void **state)
{
	struct model other = *build_example();
	const struct model *parts[3] = { build_example(), &other, build_example() };
	struct model *m;

	(void)state;
	other.pid++;
	other.cpu_period_ns = parts[0]->cpu_period_ns / 10 * 15;
	m = merged_of(parts, 3, &merge_default_limits);
	assert_int_equal(cpu_ns(m), 2 * cpu_ns(parts[0]) + cpu_ns(&other));
	assert_int_equal(m->cpu_period_ns, parts[0]->cpu_period_ns / 2);
	model_free(m);
}

/* Another boot's clock says nothing to ours, and its kernel stood elsewhere. */
static void recordings_of_two_boots_meet_by_the_wall_clock(void **state)
{
	struct model other = *build_example();
	const struct model *parts[2] = { build_example(), &other };
	struct model *m;
	uint64_t wall = other.end_wall_ns - other.end_ns;

	(void)state;
	other.boot = "another";
	m = merged_of(parts, 2, &merge_default_limits);
	assert_int_equal(m->end_ns, other.end_wall_ns);
	assert_int_equal(m->samples[m->sample_count - 1].time_ns,
	                 parts[0]->samples[parts[0]->sample_count - 1].time_ns + wall);
	assert_string_equal(m->boot, parts[0]->boot);
	assert_twice(m, parts[0], true);
	model_free(m);
}

static void options_that_differ_are_told(void **state)
{
	struct model other = *build_example();
	struct model_option option = { "HEAP", "full", SNAP_OPTION_DEFAULT }, ours = { "HEAP", "sampled", 0 };
	struct model first = *build_example();
	const struct model *parts[2] = { &first, &other };
	struct model *m;

	(void)state;
	other.pid++;
	other.options = &option;
	first.options = &ours;
	first.option_count = other.option_count = 1;
	m = merged_of(parts, 2, &merge_default_limits);
	assert_int_equal(m->option_count, 1);
	assert_string_equal(m->options[0].value, "sampled | full");
	assert_int_equal(m->options[0].source, SNAP_OPTION_ENVIRONMENT); /* shown, where defaults are not */
	model_free(m);
}

/* What cannot be added is refused as a whole. */
static void what_does_not_fit_leaves_no_trace(void **state)
{
	const struct merge_about about = { .recordings = 2, .files = 2 };
	struct model other = *build_example(), huge = *build_example();
	struct model_cpu_row row = { 0, 0, INT64_MAX };
	struct merge *g = NULL;
	struct model *m = NULL;
	struct err err = { 0 };

	(void)state;
	other.clock_is_wall = !other.clock_is_wall;
	huge.cpu = &row;
	huge.cpu_count = 1;
	assert_int_equal(merge_new(&merge_default_limits, &about, &g, &err), 0);
	assert_int_equal(merge_add(g, build_example(), &err), 0);
	assert_int_equal(merge_add(g, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "wall-clock time"));
	assert_int_equal(merge_add(g, &huge, &err), -ERANGE);
	assert_int_equal(merge_finish(g, 2, &m, &err), 0);
	merge_free(g);
	assert_true(sums_of(m).alloc == sums_of(build_example()).alloc);
	assert_int_equal(cpu_ns(m), cpu_ns(build_example()));
	assert_int_equal(lost(m, "merge.snapshots"), 2);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_holds_all_of_a_model),
		cmocka_unit_test(one_recording_stays_as_it_is),
		cmocka_unit_test(addresses_are_those_of_the_file),
		cmocka_unit_test(full_tables_keep_the_sums),
		cmocka_unit_test(other_periods_keep_the_time),
		cmocka_unit_test(recordings_of_two_boots_meet_by_the_wall_clock),
		cmocka_unit_test(options_that_differ_are_told),
		cmocka_unit_test(what_does_not_fit_leaves_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

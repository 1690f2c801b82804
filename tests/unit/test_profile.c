/* From a model to stacks, folded stacks, differences and headlines; and all of it under a failing allocator. */
#include "t.h"

#include <errno.h>

#include "buf.h"
#include "diff.h"
#include "fold.h"
#include "headline.h"
#include "hot.h"
#include "leaks.h"
#include "profile.h"
#include "snapshot_build.h"
#include "snapshot_read.h"
#include "suppressions.h"
#include "suspects.h"
#include "symbolize.h"

/* ---- an allocator that fails on demand (the linker sends every call of ours here) ----------------------------------- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

static unsigned fail_at, allocations;
static long live_blocks;

static bool fails(void)
{
	return fail_at && ++allocations == fail_at;
}

static void *counted(void *p)
{
	live_blocks += p != NULL;
	return p;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
	if (fails())
		return NULL;
	return p ? __real_realloc(p, n) : counted(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
	live_blocks -= p != NULL;
	__real_free(p);
}

/* ---- helpers -------------------------------------------------------------------------------------------------------- */

static struct profile *profile_of(const struct model *m, enum profile_metric metric)
{
	struct symbolizer *s;
	struct profile *p = NULL;
	struct err err = { 0 };

	assert_int_equal(symbolizer_new(m, NULL, &s, &err), 0);
	if (profile_build(m, s, metric, &p, &err) != 0)
		fail_msg("%s", err.text);
	symbolizer_free(s); /* the profile owns its strings */
	return p;
}

/* "leaf;...;root" of stack i. The caller free()s it. */
static char *stack_text(const struct profile *p, size_t i)
{
	struct buf out = { 0 };

	for (uint32_t k = 0; k < p->stacks[i].depth; k++)
		buf_printf(&out, "%s%s", k ? ";" : "", p->frames[p->stacks[i].frames[k]].function);
	return buf_take(&out, NULL);
}

struct expected {
	const char *stack;
	uint64_t value, count;
	uint32_t thread;
};

static void check_profile(const struct profile *p, const struct expected *want, size_t n, uint64_t total)
{
	assert_int_equal(p->stack_count, n);
	assert_int_equal(p->total, total);
	for (size_t i = 0; i < n; i++) {
		char *text = stack_text(p, i);

		T_STR("stack", text, want[i].stack);
		T_CHECK(text, p->stacks[i].value == want[i].value);
		T_CHECK(text, p->stacks[i].count == want[i].count);
		T_CHECK(text, p->stacks[i].thread == want[i].thread);
		free(text);
	}
}

#define A    "example+0x402000;example+0x401000"
#define LIB  "libnew.so+0x1234;example+0x403000;example+0x401000"
#define CUT  "libnew.so+0x1234;[truncated]"
#define NONE PROFILE_NO_THREAD

static void help_texts_name_every_metric(void **state)
{
	char names[512] = "";

	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++) {
		strcat(names, i ? "|" : "");
		strcat(names, profile_metric_name((enum profile_metric)i));
	}
	assert_string_equal(names, PROFILE_METRIC_VALUE);
}

static void metrics_of_a_model(void **state)
{
	static const struct expected cpu[] = {
		{ A, 60, 60, 0 }, { LIB, 30, 30, 0 }, { LIB, 9, 9, 1 }, { CUT, 1, 1, 1 }
	};
	static const struct expected live[] = { { LIB, 5000, 5, NONE }, { A, 600, 6, NONE } };
	static const struct expected leaked[] = { { LIB, 5000, 5, NONE }, { A, 200, 2, NONE } };
	static const struct expected live_count[] = { { A, 6, 6, NONE }, { LIB, 5, 5, NONE } };
	static const struct expected alloc[] = { { LIB, 5000, 5, NONE },
		                                 { A, 1000, 10, NONE },
		                                 { "[unknown]", 16, 1, NONE } };
	static const struct expected peak[] = { { LIB, 5000, 5, NONE }, { A, 800, 8, NONE } };
	static const struct expected temporary[] = { { A, 2, 2, NONE } };
	static const struct {
		enum profile_metric metric;
		const struct expected *want;
		size_t n;
		uint64_t total, lost, period;
	} cases[] = {
		{ METRIC_CPU, cpu, 4, 100, 3, 10000000 },    { METRIC_LIVE, live, 2, 5600, 0, 0 },
		{ METRIC_LEAKED, leaked, 2, 5200, 0, 0 },    { METRIC_LIVE_COUNT, live_count, 2, 11, 0, 0 },
		{ METRIC_ALLOC, alloc, 3, 6016, 0, 0 },      { METRIC_PEAK, peak, 2, 5800, 0, 0 },
		{ METRIC_TEMPORARY, temporary, 1, 2, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct profile *p = profile_of(build_example(), cases[i].metric);

		check_profile(p, cases[i].want, cases[i].n, cases[i].total);
		assert_int_equal(p->lost, cases[i].lost);
		assert_int_equal(p->period_ns, cases[i].period);
		assert_string_equal(p->comm, "example");
		profile_free(p);
	}
}

/* A cause that was counted, but not in events: it makes heap metrics partial, and no total larger. */
static void an_allocator_that_was_not_seen_makes_the_heap_partial(void **state)
{
	static const char *const names[] = { "heap.own_allocator", "heap.hidden_allocator", "heap.unseen_calls",
		                             "heap.nested" };
	static const enum profile_metric metrics[] = { METRIC_CPU, METRIC_LIVE, METRIC_ALLOC };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (size_t k = 0; k < ARRAY_LEN(metrics); k++) {
			struct model_loss losses[] = { { "cpu.dropped", 0 }, { names[i], 1 } };
			struct model m = *build_example();
			struct profile *p, *folded = NULL;
			struct err err = { 0 };

			m.losses = losses;
			m.loss_count = ARRAY_LEN(losses);
			p = profile_of(&m, metrics[k]);
			assert_int_equal(p->partial, metrics[k] != METRIC_CPU && i < 3);
			assert_int_equal(p->lost, 0);
			assert_int_equal(fold_names(p, true, &folded, &err), 0);
			assert_int_equal(folded->partial, p->partial);
			profile_free(p);
			profile_free(folded);
		}
	}
}

static void samples_keep_their_stacks(void **state)
{
	struct profile *p = profile_of(build_example(), METRIC_CPU);
	static const char *const want[] = { A, LIB, LIB };

	(void)state;
	assert_int_equal(p->sample_count, 3);
	for (size_t i = 0; i < 3; i++) {
		char *text = stack_text(p, p->samples[i].stack);

		assert_string_equal(text, want[i]);
		assert_int_equal(p->samples[i].thread, p->stacks[p->samples[i].stack].thread);
		free(text);
	}
	assert_int_equal(p->samples[2].weight, 2);
	profile_free(p);
}

/* Three rows of a third of a block each are one block, not none. */
static void counts_are_rounded_at_the_end(void **state)
{
	struct model m = *build_example();
	struct model_node nodes[] = { { 0, 0x401000 }, { 1, 0x402000 }, { 0, 0x401000 },
		                      { 3, 0x402000 }, { 0, 0x401000 }, { 5, 0x402000 } };
	struct model_heap_row rows[] = {
		{ 2, 1.0 / 3, 0, 0, 0, 10, 0, 0, NULL },
		{ 4, 1.0 / 3, 0, 0, 0, 10, 0, 0, NULL },
		{ 6, 1.0 / 3, 0, 0, 0, 10, 0, 0, NULL },
	};
	struct profile *p;

	(void)state;
	m.nodes = nodes;
	m.node_count = 6;
	m.heap = rows;
	m.heap_count = 3;
	m.heap_mode = SNAP_HEAP_SAMPLED;
	p = profile_of(&m, METRIC_LIVE_COUNT);
	check_profile(p, (const struct expected[]){ { A, 1, 1, NONE } }, 1, 1);
	profile_free(p);
	p = profile_of(&m, METRIC_LIVE);
	check_profile(p, (const struct expected[]){ { A, 30, 1, NONE } }, 1, 30);
	profile_free(p);
}

static void what_was_not_recorded_says_so(void **state)
{
	static const struct {
		bool wall, cpu_off, heap_off;
		enum profile_metric metric;
		const char *words;
	} cases[] = {
		{ false, false, false, METRIC_WALL, "PERFPROBE_CLOCK=wall" },
		{ true, false, false, METRIC_WALL, "--metric cpu" },
		{ false, false, false, METRIC_OFF_CPU, "while it waited" },
		{ false, true, false, METRIC_CPU, "PERFPROBE_CPU" },
		{ false, false, true, METRIC_LIVE, "PERFPROBE_HEAP" },
		{ false, false, true, METRIC_LEAKED, "PERFPROBE_HEAP" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct model m = build_empty();
		struct symbolizer *s;
		struct profile *p = NULL;
		struct err err = { 0 };

		m.clock_is_wall = cases[i].wall;
		m.cpu_hz = cases[i].cpu_off ? 0 : 99;
		m.heap_mode = cases[i].heap_off ? SNAP_HEAP_OFF : SNAP_HEAP_FULL;
		assert_int_equal(symbolizer_new(&m, NULL, &s, &err), 0);
		T_CHECK(cases[i].words, profile_build(&m, s, cases[i].metric, &p, &err) == -ENODATA);
		T_CHECK(err.text, strstr(err.text, cases[i].words));
		T_CHECK(cases[i].words, p == NULL);
		symbolizer_free(s);
	}
}

/* Depth times rows is bounded: a small file of one long chain and many rows must not ask for terabytes. */
static void deep_stacks_are_bounded(void **state)
{
	enum { DEEP = 40000 };
	struct model m = build_empty();
	struct symbolizer *s;
	struct profile *p = NULL;
	struct err err = { 0 };

	(void)state;
	m.nodes = calloc(DEEP, sizeof(*m.nodes));
	m.heap = calloc(DEEP, sizeof(*m.heap));
	assert_non_null(m.nodes);
	assert_non_null(m.heap);
	for (uint32_t i = 0; i < DEEP; i++) {
		m.nodes[i] = (struct model_node){ i, 0x1000 };
		m.heap[i] = (struct model_heap_row){ .stack = i + 1, .alloc_count = 1, .alloc_bytes = 1 };
	}
	m.node_count = m.heap_count = DEEP;
	m.heap_mode = SNAP_HEAP_FULL;
	assert_int_equal(symbolizer_new(&m, NULL, &s, &err), 0);
	assert_int_equal(profile_build(&m, s, METRIC_LIVE, &p, &err), -E2BIG);
	assert_non_null(strstr(err.text, "more frames than"));
	symbolizer_free(s);
	free(m.nodes);
	free(m.heap);
}

static void folding_joins_threads(void **state)
{
	static const struct expected joined[] = { { A, 60, 60, NONE }, { LIB, 39, 39, NONE }, { CUT, 1, 1, NONE } };
	struct profile *p = profile_of(build_example(), METRIC_CPU), *folded = NULL;
	struct err err = { 0 };
	char *text;

	(void)state;
	assert_int_equal(fold_names(p, true, &folded, &err), 0);
	profile_free(p); /* the folded one stands alone */
	check_profile(folded, joined, 3, 100);
	text = stack_text(folded, folded->samples[2].stack);
	assert_string_equal(text, LIB);
	assert_int_equal(folded->period_ns, 10000000);
	assert_int_equal(folded->lost, 3);
	free(text);
	profile_free(folded);
}

static void hot_functions_count_recursion_once(void **state)
{
	struct model m = *build_example();
	struct model_node nodes[] = { { 0, 0x401000 }, { 1, 0x402000 }, { 2, 0x402000 }, { 3, 0x402000 } };
	struct model_cpu_row cpu[] = { { 1, 0, 5 }, { 4, 0, 7 } };
	struct profile *p, *folded;
	struct hot_function *list;
	struct err err = { 0 };
	size_t n;

	(void)state;
	m.nodes = nodes;
	m.node_count = 4;
	m.cpu = cpu;
	m.cpu_count = 2;
	m.sample_count = 0;
	p = profile_of(&m, METRIC_CPU);
	assert_int_equal(fold_names(p, true, &folded, &err), 0);
	assert_int_equal(hot_functions(folded, &list, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(folded->frames[list[0].frame].function, "example+0x402000");
	assert_int_equal(list[0].self, 7);
	assert_int_equal(list[0].total, 7);
	assert_int_equal(list[1].self, 5);
	assert_int_equal(list[1].total, 12);
	free(list);
	profile_free(folded);
	profile_free(p);
}

static void diff_ignores_addresses(void **state)
{
	struct model after = *build_example();
	struct model_module modules[3];
	struct model_node nodes[6];
	struct model_heap_row heap[] = {
		{ 2, 10, 9, 0, 0, 1000, 900, 0, NULL }, /* 600 -> 100 */
		{ 4, 50, 0, 0, 0, 50000, 0, 0, NULL },  /* 5000 -> 50000 */
		{ 6, 1, 0, 0, 0, 70, 0, 0, NULL },      /* new */
	};
	struct profile *a = profile_of(build_example(), METRIC_LIVE), *b;
	struct diff *d = NULL;
	struct err err = { 0 };

	(void)state;
	/* Another run: everything was mapped elsewhere, and the program lies in another directory. */
	memcpy(modules, after.modules, sizeof(modules));
	memcpy(nodes, after.nodes, sizeof(nodes));
	for (size_t i = 0; i < 3; i++) {
		modules[i].start += 0x12345000;
		modules[i].end += 0x12345000;
		modules[i].bias += 0x12345000;
	}
	modules[0].path = "/elsewhere/example";
	for (size_t i = 0; i < 6; i++)
		nodes[i].pc += nodes[i].pc < 4096 ? 0 : 0x12345000;
	after.modules = modules;
	after.nodes = nodes;
	after.heap = heap;
	after.heap_count = 3;
	b = profile_of(&after, METRIC_LIVE);
	assert_int_equal(diff_build(a, b, false, &d, &err), 0);
	profile_free(a);
	profile_free(b);
	assert_int_equal(d->total_before, 5600);
	assert_int_equal(d->total_after, 50170);
	assert_int_equal(d->stack_count, 3);
	assert_int_equal(d->stacks[0].delta, 45000);
	assert_int_equal(d->stacks[0].before, 5000);
	assert_int_equal(d->stacks[0].count_after, 50);
	assert_string_equal(d->frames[d->stacks[0].frames[2]].function, "example+0x401000");
	assert_int_equal(d->stacks[1].delta, 70);
	assert_int_equal(d->stacks[1].before, 0);
	assert_int_equal(d->stacks[2].delta, -500);
	diff_free(d);
}

static void diff_compares_time_not_samples(void **state)
{
	struct model twice = *build_example();
	struct profile *a = profile_of(build_example(), METRIC_CPU), *b,
	               *live = profile_of(build_example(), METRIC_LIVE);
	struct diff *d = NULL;
	struct err err = { 0 };

	(void)state;
	twice.cpu_period_ns /= 2; /* the same number of samples is half the time */
	b = profile_of(&twice, METRIC_CPU);
	assert_int_equal(diff_build(a, b, false, &d, &err), 0);
	assert_int_equal(d->total_before, 200);
	assert_int_equal(d->total_after, 100);
	assert_int_equal(d->stacks[0].delta, -1);
	diff_free(d);
	assert_int_equal(diff_build(a, live, false, &d, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cpu"));
	profile_free(a);
	profile_free(b);
	profile_free(live);
}

static void headlines(void **state)
{
	static const struct {
		const char *frames[6][2]; /* function, module; leaf first */
		bool memory;
		uint32_t want;
	} cases[] = {
		{ { { "malloc", "/lib/libc.so.6" }, { "leak_request", "/x/server" }, { "main", "/x/server" } },
		  true,
		  1 },
		{ { { "leak_request", "/x/server" }, { "main", "/x/server" } }, true, 0 },
		{ { { "operator new(unsigned long)", "/lib/libstdc++.so.6" },
		    { "std::vector<int, std::allocator<int> >::push_back(int&&)", "/x/server" },
		    { "server::grow()", "/x/server" } },
		  true,
		  2 },
		{ { { "zmalloc", "/x/redis" }, { "sdsnew", "/x/redis" } }, true, 1 },
		{ { { "_IO_file_doallocate", "/lib/libc.so.6" }, { "puts", "/lib/libc.so.6" }, { "hello", "/x/a" } },
		  true,
		  2 },
		{ { { "malloc@plt", "/x/a" }, { "f", "/x/a" } }, true, 1 },
		{ { { "strdup", "/lib/libc.so.6" }, { "setenv", "/lib/libc.so.6" } }, true, 1 },
		{ { { "malloc", "/lib/libc.so.6" }, { "[truncated]", "" } }, true, 0 },
		{ { { "memcpy", "/lib/libc.so.6" }, { "copy", "/x/a" } }, false, 0 },
		{ { { "[perfprobe]", "" }, { "work", "/x/a" } }, false, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct profile_frame frames[6] = { 0 };
		static const uint32_t list[] = { 0, 1, 2, 3, 4, 5 };
		uint32_t depth = 0, got;

		for (; depth < 6 && cases[i].frames[depth][0]; depth++) {
			frames[depth].function = cases[i].frames[depth][0];
			frames[depth].module = cases[i].frames[depth][1];
		}
		got = headline_find(frames, list, depth, cases[i].memory);
		T_STR(cases[i].frames[0][0], frames[got].function, cases[i].frames[cases[i].want][0]);
	}
}

static void leaks_and_what_is_not_freed_do_not_compare(void **state)
{
	struct model m = *build_example();
	struct profile *leaked = profile_of(&m, METRIC_LEAKED), *not_freed;
	struct diff *d = NULL;
	struct err err = { 0 };

	(void)state;
	m.leaks = build_empty().leaks;
	not_freed = profile_of(&m, METRIC_LEAKED);
	assert_int_equal(diff_build(not_freed, leaked, false, &d, &err), -EINVAL);
	assert_non_null(strstr(err.text, "only the second snapshot was checked"));
	assert_int_equal(diff_build(leaked, leaked, false, &d, &err), 0);
	assert_true(d->checked);
	diff_free(d);
	profile_free(leaked);
	profile_free(not_freed);
}

static int leaks_way(const struct model *m, struct symbolizer *s, struct err *err)
{
	const char *lines = m->leaks.suppressions;
	struct suppressions suppressions = { 0 };
	struct leaks *l = NULL;
	struct profile *live = NULL, *alloc = NULL, *leaked = NULL;
	struct suspects *suspects = NULL;
	int rc = suppressions_add_built_in(&suppressions, err);

	if (rc == 0)
		rc = suppressions_add(&suppressions, lines, strlen(lines), "the program", NULL, err);
	if (rc == 0)
		rc = leaks_build(m, s, &suppressions, false, &l, err);
	if (rc == 0)
		rc = leaks_profile(l, m, &leaked, err);
	if (rc == 0)
		rc = profile_build(m, s, METRIC_LIVE, &live, err);
	if (rc == 0)
		rc = profile_build(m, s, METRIC_ALLOC, &alloc, err);
	if (rc == 0) {
		const struct suspects_input inputs[] = { { live, alloc, 1 }, { live, alloc, 2 } };
		const struct suspects_options options = { .leaked = leaked };

		rc = suspects_find(inputs, 2, &options, &suspects, err);
	}
	suspects_free(suspects);
	profile_free(live);
	profile_free(alloc);
	profile_free(leaked);
	leaks_free(l);
	suppressions_done(&suppressions);
	return rc;
}

/* The whole way once; -ENOMEM wherever the n-th allocation is missing, and nothing kept. */
static int whole_way(const uint8_t *file, size_t bytes)
{
	struct model *m = NULL;
	struct symbolizer *s = NULL;
	struct profile *p = NULL, *folded = NULL;
	struct diff *d = NULL;
	struct err err = { 0 };
	int rc = snapshot_read(file, bytes, &m, &err);

	if (rc == 0)
		rc = symbolizer_new(m, NULL, &s, &err);
	if (rc == 0)
		rc = profile_build(m, s, METRIC_CPU, &p, &err);
	if (rc == 0)
		rc = fold_names(p, false, &folded, &err);
	if (rc == 0)
		rc = diff_build(p, folded, true, &d, &err);
	if (rc == 0)
		rc = leaks_way(m, s, &err);
	if (rc < 0)
		assert_true(err.text[0]);
	diff_free(d);
	profile_free(folded);
	profile_free(p);
	symbolizer_free(s);
	model_free(m);
	return rc;
}

static void every_allocation_may_fail(void **state)
{
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes);
	unsigned n = 1;
	int rc;

	(void)state;
	do {
		long before = live_blocks;

		allocations = 0;
		fail_at = n;
		rc = whole_way(file, bytes);
		fail_at = 0;
		if (rc != 0 && rc != -ENOMEM)
			fail_msg("allocation %u missing: rc %d", n, rc);
		if (live_blocks != before)
			fail_msg("allocation %u missing: %ld blocks kept", n, live_blocks - before);
	} while (n++ <= allocations);
	assert_int_equal(rc, 0);
	assert_true(n > 30);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_texts_name_every_metric),
		cmocka_unit_test(metrics_of_a_model),
		cmocka_unit_test(an_allocator_that_was_not_seen_makes_the_heap_partial),
		cmocka_unit_test(samples_keep_their_stacks),
		cmocka_unit_test(counts_are_rounded_at_the_end),
		cmocka_unit_test(what_was_not_recorded_says_so),
		cmocka_unit_test(deep_stacks_are_bounded),
		cmocka_unit_test(folding_joins_threads),
		cmocka_unit_test(hot_functions_count_recursion_once),
		cmocka_unit_test(diff_ignores_addresses),
		cmocka_unit_test(diff_compares_time_not_samples),
		cmocka_unit_test(headlines),
		cmocka_unit_test(leaks_and_what_is_not_freed_do_not_compare),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

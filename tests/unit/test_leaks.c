/* Unreachable blocks by stack: who is grouped, who owns whom, what is suppressed; and the metric "leaked". */
#include <math.h>

#include "leaks.h"
#include "profile.h"
#include "snapshot_build.h"
#include "suppressions.h"
#include "symbolize.h"
#include "t.h"

#define DIRECT   SNAP_LEAK_DIRECT
#define INDIRECT SNAP_LEAK_INDIRECT

static struct model model_of(struct model_leak *rows, size_t count)
{
	struct model m = *build_example();

	m.leaks.rows = rows;
	m.leaks.count = count;
	model_check(&m);
	return m;
}

static struct leaks *leaks_of(const struct model *m, const char *lines, struct suppressions *s)
{
	struct symbolizer *symbols;
	struct leaks *l = NULL;
	struct err err = { 0 };

	*s = (struct suppressions){ 0 };
	assert_int_equal(suppressions_add(s, lines, strlen(lines), "test", NULL, &err), 0);
	assert_int_equal(symbolizer_new(m, NULL, &symbols, &err), 0);
	assert_int_equal(leaks_build(m, symbols, s, false, &l, &err), 0);
	symbolizer_free(symbols);
	return l;
}

static void groups_and_owners(void **state)
{
	/* Stacks 4 and 6: the same library function, once below b and main, once truncated. Stack 0 is unknown. */
	static struct model_leak rows[] = {
		{ 0, DIRECT, 0, 1, 0, 8, 0, 1, 0, 0, 0 },
		{ 2, DIRECT, 0, 2, 2, 200, 200, 2, 2000000000, 9000000000, 0 },
		{ 4, DIRECT, 0, 1, 1, 50, 50, 1, 3000000000, 3000000000, 0 },
		{ 4, INDIRECT, 0, 1, 0, 10, 0, 1, 3000000000, 3000000000, 0 },
		{ 4, INDIRECT, 2, 5, 4, 5000, 4000, 5, 3000000000, 4000000000, 0 },
		{ 6, INDIRECT, 1, 3, 3, 7, 7, 3, 3000000000, 3000000000, 0 },
	};
	struct model m = model_of(rows, ARRAY_LEN(rows));
	struct suppressions s;
	struct leaks *l = leaks_of(&m, "", &s);
	static const struct {
		uint64_t bytes;
		bool indirect;
		uint32_t owner;
		uint64_t held;
	} want[] = {
		{ 5000, true, 1, 0 },
		{ 200, false, LEAK_NO_OWNER, 5000 },
		{ 50, false, LEAK_NO_OWNER, 0 },
		{ 10, true, 4, 0 },
		{ 8, false, LEAK_NO_OWNER, 10 },
		{ 7, true, LEAK_NO_OWNER, 0 }, /* stack 1 has no direct leak */
	};

	(void)state;
	assert_int_equal(l->count, ARRAY_LEN(want));
	assert_int_equal(l->told, ARRAY_LEN(want));
	for (size_t i = 0; i < l->count; i++) {
		if (l->items[i].all.bytes != want[i].bytes || l->items[i].indirect != want[i].indirect ||
		    l->items[i].owner != want[i].owner || l->items[i].held.bytes != want[i].held)
			fail_msg("%zu: %lu bytes, owner %u, holds %lu", i, l->items[i].all.bytes, l->items[i].owner,
			         l->items[i].held.bytes);
	}
	assert_int_equal(l->direct.bytes, 258);
	assert_int_equal(l->indirect.bytes, 5017);
	assert_int_equal(l->confirmed.bytes, 4257);
	assert_string_equal(l->frames[l->items[4].frames[0]].function, "[unknown]");
	assert_int_equal(l->items[0].depth, 3);
	assert_true(l->items[1].first_ns == 2000000000 && l->items[1].last_ns == 9000000000);
	leaks_free(l);
	suppressions_done(&s);
}

static void equal_frames_are_one(void **state)
{
	/* Two nodes of one name (neither has a line): by name they are one, by address they are two. */
	static struct model_node nodes[] = {
		{ 0, 0x401000 }, { 0, SNAP_PC_LOST }, { 1, SNAP_PC_LOST }, { 0, SNAP_PC_LOST }
	};
	static struct model_leak rows[] = {
		{ 2, DIRECT, 0, 1, 0, 100, 0, 1, 7, 8, 0 },
		{ 4, DIRECT, 0, 2, 2, 10, 10, 2, 5, 6, 0 },
		{ 4, INDIRECT, 2, 1, 1, 1, 1, 1, 5, 6, 0 },
	};
	struct model m = *build_example();
	struct suppressions s;
	struct leaks *l;

	(void)state;
	m.nodes = nodes;
	m.node_count = 4;
	m.heap_count = m.cpu_count = m.sample_count = m.misuse_count = m.mmap_count = 0;
	m.leaks.rows = rows;
	m.leaks.count = ARRAY_LEN(rows);
	model_check(&m);
	l = leaks_of(&m, "", &s);
	assert_int_equal(l->count, 2);
	assert_int_equal(l->items[0].all.bytes, 110);
	assert_int_equal(l->items[0].all.samples, 3);
	assert_true(l->items[0].first_ns == 5 && l->items[0].last_ns == 8);
	assert_int_equal(l->items[0].held.bytes, 1);
	assert_int_equal(l->items[1].owner, 0);
	leaks_free(l);
	suppressions_done(&s);
}

static void suppressed_with_what_they_hold(void **state)
{
	static struct model_leak rows[] = {
		{ 2, DIRECT, 0, 2, 2, 200, 200, 2, 1, 2, 0 },
		{ 4, DIRECT, 0, 1, 1, 50, 50, 1, 1, 2, 0 },
		{ 4, INDIRECT, 2, 5, 4, 5000, 4000, 5, 1, 2, 0 },
		{ 6, INDIRECT, 4, 1, 1, 7, 7, 1, 1, 2, 0 },
	};
	static const struct {
		const char *lines;
		uint64_t told, hidden[3];
	} cases[] = {
		{ "", 5257, { 0 } },
		{ "leak:nothing like it", 5257, { 0 } },
		{ "leak:*0x402000", 57, { 5200 } },  /* a, and what it holds: its frames match nothing */
		{ "leak:libnew.so", 200, { 5057 } }, /* the library's: the owner stays */
		{ "leak:0x402\nleak:libnew.so", 0, { 5200, 57 } },
		{ "leak:libnew.so\nleak:^/nowhere/example$", 0, { 57, 5200 } }, /* what the owner is hidden by */
		{ "leak:/nowhere/example", 0, { 5257 } },                       /* a frame further out is enough */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct model m = model_of(rows, ARRAY_LEN(rows));
		struct suppressions s;
		struct leaks *l = leaks_of(&m, cases[i].lines, &s);
		uint64_t hidden[3] = { 0 };

		for (size_t k = 0; k < l->hidden_count; k++)
			hidden[l->hidden[k].suppression] = l->hidden[k].amount.bytes;
		if (l->direct.bytes + l->indirect.bytes != cases[i].told ||
		    memcmp(hidden, cases[i].hidden, sizeof(hidden)) != 0)
			fail_msg("'%s': %lu told, %lu, %lu, %lu hidden", cases[i].lines,
			         l->direct.bytes + l->indirect.bytes, hidden[0], hidden[1], hidden[2]);
		leaks_free(l);
		suppressions_done(&s);
	}
}

static void errors_add_as_squares(void **state)
{
	static struct model_leak rows[] = {
		{ 2, DIRECT, 0, 1.5, 0, 3000, 0, 1, 1, 2, 3000 },
		{ 4, DIRECT, 0, 2, 0, 4000, 0, 1, 1, 2, 4000 },
	};
	struct model m = *build_example();
	struct suppressions s;
	struct leaks *l;

	(void)state;
	m.heap_mode = SNAP_HEAP_SAMPLED;
	m.leaks.sampled = true;
	m.leaks.rows = rows;
	m.leaks.count = 2;
	model_check(&m);
	l = leaks_of(&m, "", &s);
	assert_true(fabs(l->error_bytes - 5000) < 1e-6);
	leaks_free(l);
	suppressions_done(&s);
}

static struct profile *leaked(const struct model *m)
{
	struct symbolizer *symbols;
	struct profile *p = NULL;
	struct err err = { 0 };

	assert_int_equal(symbolizer_new(m, NULL, &symbols, &err), 0);
	assert_int_equal(profile_build(m, symbols, METRIC_LEAKED, &p, &err), 0);
	symbolizer_free(symbols);
	return p;
}

static void metric_says_what_it_is_of(void **state)
{
	struct model m = *build_example();
	struct profile *p = leaked(&m), *again = NULL;
	struct suppressions s;
	struct leaks *l;
	struct err err = { 0 };

	(void)state;
	assert_true(p->checked && !p->lower_bound);
	assert_int_equal(p->total, 5200);
	assert_string_equal(profile_text(p), "bytes leaked");
	/* The same through leaks: nothing is lost on the way. */
	l = leaks_of(&m, "", &s);
	assert_int_equal(leaks_profile(l, &m, &again, &err), 0);
	assert_int_equal(again->total, p->total);
	assert_int_equal(again->stack_count, p->stack_count);
	profile_free(again);
	leaks_free(l);
	suppressions_done(&s);
	profile_free(p);
	/* A check that could not be done is none. */
	m.leaks = (struct model_leaks){ .recorded = true, .method = "", .note = "no memory", .suppressions = "" };
	p = leaked(&m);
	assert_false(p->checked);
	assert_int_equal(p->total, 5600);
	assert_string_equal(profile_text(p), "bytes not freed");
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_and_owners),
		cmocka_unit_test(equal_frames_are_one),
		cmocka_unit_test(suppressed_with_what_they_hold),
		cmocka_unit_test(errors_add_as_squares),
		cmocka_unit_test(metric_says_what_it_is_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

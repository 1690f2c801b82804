/* Series of snapshots to suspects: who grows, how fast, what is older than what, and who is none. */
#include <math.h>
#include <stdio.h>

#include "profile_build.h"
#include "suspects.h"
#include "t.h"

#define MINUTE UINT64_C(60000000000)

/* Texts of profile_build.h, live and allocated, one pair a snapshot, a minute apart. */
static struct suspects *find(const char *const (*texts)[2], size_t n, struct suspects_options options)
{
	struct suspects_input inputs[TREND_MAX_POINTS];
	struct suspects *s = NULL;
	struct err err = { 0 };

	for (size_t i = 0; i < n; i++)
		inputs[i] =
		        (struct suspects_input){ fake_profile(METRIC_LIVE, texts[i][0], NULL, 0),
			                         fake_profile(METRIC_ALLOC, texts[i][1], NULL, 0), MINUTE * (i + 1) };
	assert_int_equal(suspects_find(inputs, n, &options, &s, &err), 0);
	for (size_t i = 0; i < n; i++) {
		profile_free((struct profile *)inputs[i].live);
		profile_free((struct profile *)inputs[i].alloc);
	}
	return s;
}

static const char *leaf(const struct suspects *s, size_t i)
{
	return s->frames[s->items[i].frames[0]].function;
}

/* Bytes, then blocks. What is allocated is alive or freed. */
static const char *const five[][2] = {
	{ "main;leak 1000 10\nmain;cache 500 5\nmain;table 9 1\nmain;churn 300 3\nmain;slow 10 1",
	  "main;leak 1000 10\nmain;cache 500 5\nmain;table 9 1\nmain;churn 300 3\nmain;slow 10 1" },
	{ "main;leak 2000 20\nmain;cache 900 9\nmain;table 9 1\nmain;churn 100 1\nmain;slow 20 2",
	  "main;leak 2500 25\nmain;cache 900 9\nmain;table 9 1\nmain;churn 600 6\nmain;slow 20 2" },
	{ "main;leak 3000 30\nmain;cache 1000 10\nmain;table 9 1\nmain;churn 400 4\nmain;slow 30 3",
	  "main;leak 4000 40\nmain;cache 1200 12\nmain;table 9 1\nmain;churn 1200 12\nmain;slow 30 3" },
	{ "main;leak 4000 40\nmain;cache 1000 10\nmain;table 9 1\nmain;churn 200 2\nmain;slow 40 4",
	  "main;leak 5500 55\nmain;cache 1500 15\nmain;table 9 1\nmain;churn 1800 18\nmain;slow 40 4" },
	{ "main;leak 5000 50\nmain;cache 1000 10\nmain;table 9 1\nmain;churn 310 3\nmain;slow 50 5",
	  "main;leak 7000 70\nmain;cache 1800 18\nmain;table 9 1\nmain;churn 2400 24\nmain;slow 50 5" },
};

static void growth_is_told_by_rate(void **state)
{
	struct suspects *s = find(five, 5, (struct suspects_options){ 0 });
	const struct suspect *leak = &s->items[0];

	(void)state;
	assert_int_equal(s->count, 2);
	assert_string_equal(leaf(s, 0), "leak");
	assert_string_equal(leaf(s, 1), "slow");
	assert_true(fabs(leak->trend.slope - 1000) < 1e-6 && fabs(s->items[1].trend.slope - 10) < 1e-6);
	assert_true(leak->bytes == 5000 && leak->blocks == 50 && leak->grown_bytes == 4000);
	assert_true(leak->trend.risen == 4 && leak->trend.intervals == 4);
	assert_true(suspect_confidence(leak) > 0.99);
	assert_int_equal(s->levelled, 1); /* the cache */
	/* Freed in all 20; by the snapshots 0, 5, 10, 15: of the 40 alive a minute ago 35 are left, ... of the first 10 none. */
	assert_int_equal(leak->survivor_count, 3);
	assert_true(leak->survivors[0].age_ns == MINUTE && leak->survivors[0].blocks == 35);
	assert_true(leak->survivors[2].age_ns == 3 * MINUTE && leak->survivors[2].blocks == 5);
	suspects_free(s);
}

static void few_snapshots_say_little(void **state)
{
	struct suspects *s = find(five, 2, (struct suspects_options){ 0 });

	(void)state;
	assert_int_equal(s->count, 3); /* two cannot tell the cache */
	assert_string_equal(suspect_certainty(&s->items[0]), "possible");
	assert_true(suspect_confidence(&s->items[0]) == 0.5);
	suspects_free(s);
	s = find(five, 3, (struct suspects_options){ 0 });
	assert_string_equal(leaf(s, 0), "leak");
	assert_string_equal(suspect_certainty(&s->items[0]), "possible");
	suspects_free(s);
}

static void leaks_are_told_elsewhere(void **state)
{
	struct profile *leaked = fake_profile(METRIC_LEAKED, "main;leak 4100 41\nmain;slow 1 1", NULL, 0);
	struct suspects *s = find(five, 5, (struct suspects_options){ .leaked = leaked });

	(void)state;
	assert_int_equal(s->count, 1);
	assert_string_equal(leaf(s, 0), "slow");
	assert_int_equal(s->leaking, 1);
	suspects_free(s);
	profile_free(leaked);
}

static void few_samples_are_no_growth(void **state)
{
	/* The same figures from samples of 512 KiB: no block was seen as often as that. */
	struct suspects *s = find(five, 5, (struct suspects_options){ .interval_bytes = 524288 });
	static const char *const large[][2] = {
		{ "main;big 10485760 20\nmain;noise 10485760 20", "main;big 10485760 20\nmain;noise 10485760 20" },
		{ "main;big 52428800 100\nmain;noise 12582912 24", "main;big 52428800 100\nmain;noise 12582912 24" },
	};

	(void)state;
	assert_int_equal(s->count, 0);
	suspects_free(s);
	s = find(large, 2, (struct suspects_options){ .interval_bytes = 524288 });
	assert_int_equal(s->count, 1); /* four more blocks of half a megabyte are chance */
	assert_string_equal(leaf(s, 0), "big");
	suspects_free(s);
}

/* One snapshot of a minute (profile_build.h), with lifetimes. */
static struct suspects *find_one(const char *live, const struct profile_heap *heap)
{
	struct profile *p = fake_profile(METRIC_LIVE, live, NULL, 0),
	               *alloc = fake_profile(METRIC_ALLOC, live, NULL, 0);
	const struct suspects_input input = { p, alloc, MINUTE };
	struct suspects *s = NULL;
	struct err err = { 0 };

	p->followed = true;
	for (size_t i = 0; i < p->stack_count; i++)
		p->stacks[i].heap = heap;
	assert_int_equal(suspects_find(&input, 1, &(struct suspects_options){ 0 }, &s, &err), 0);
	profile_free(p);
	profile_free(alloc);
	return s;
}

static void survivors_in_one_snapshot(void **state)
{
	static const struct {
		const char *name, *live;
		struct profile_heap heap;
		size_t suspects;
	} cases[] = {
		/* A thousand requests' blocks lived 16 us; a hundred live on. */
		{ "one in ten stays", "main;leak 4800 100", { .lifetime = { [2] = 1000 } }, 1 },
		{ "as many as lifetimes explain",
		  "main;queue 4800 100",
		  { .lifetime = { [12] = 1000 } },
		  0 }, /* 17 s */
		{ "nothing was freed", "main;table 4800 100", { .lifetime = { 0 } }, 0 },
		{ "few were freed", "main;table 4800 100", { .lifetime = { [2] = 99 } }, 0 },
		{ "few live", "main;some 480 9", { .lifetime = { [2] = 1000 } }, 0 },
		{ "some lived without an end",
		  "main;x 4800 100",
		  { .lifetime = { [2] = 1000, [SNAP_LIFETIMES - 1] = 20 } },
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct suspects *s = find_one(cases[i].live, &cases[i].heap);

		if (s->count != cases[i].suspects)
			fail_msg("%s: %zu suspects", cases[i].name, s->count);
		if (s->count) {
			assert_int_equal(s->items[0].reason, SUSPECT_SURVIVES);
			assert_int_equal(s->items[0].freed_within_ns, 16384);
			assert_true(fabs(s->items[0].trend.slope - 4800) < 1e-6);
		}
		suspects_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(growth_is_told_by_rate),    cmocka_unit_test(few_snapshots_say_little),
		cmocka_unit_test(leaks_are_told_elsewhere),  cmocka_unit_test(few_samples_are_no_growth),
		cmocka_unit_test(survivors_in_one_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

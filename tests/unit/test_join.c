#include "t.h"

#include "join.h"
#include "profile_build.h"

static const struct join_stack *stack_of(const struct join *j, const char *leaf, uint32_t depth)
{
	for (size_t i = 0; i < j->stack_count; i++)
		if (j->stacks[i].depth == depth &&
		    (depth == 0 || strcmp(j->frames[j->stacks[i].frames[0]].function, leaf) == 0))
			return &j->stacks[i];
	fail_msg("no stack of %u frames that ends in %s", depth, leaf);
	return NULL;
}

/* Frames have other numbers in each profile; stacks of one profile have 0 in the others. */
static void stacks_of_several_metrics_meet(void **state)
{
	struct profile *alloc = fake_profile(METRIC_ALLOC, "main;a@/m@/f.c@3 100 4\nmain;b 50 2\n 7 1\n", NULL, 0);
	struct profile *live = fake_profile(METRIC_LIVE, "x;y 9 1\nmain;b 20 1\n", NULL, 0);
	const struct profile *profiles[] = { alloc, live };
	const struct join_stack *s;
	struct join j;
	struct err err;

	(void)state;
	assert_int_equal(join_build(profiles, 2, &j, &err), 0);
	assert_int_equal(j.stack_count, 4);
	assert_int_equal(j.frame_count, 5);
	s = stack_of(&j, "b", 2);
	assert_int_equal(s->value[0], 50);
	assert_int_equal(s->value[1], 20);
	assert_int_equal(s->count[0], 2);
	assert_int_equal(s->count[1], 1);
	assert_string_equal(j.frames[s->frames[1]].function, "main");
	s = stack_of(&j, "a", 2);
	assert_int_equal(s->value[0], 100);
	assert_int_equal(s->value[1], 0);
	assert_string_equal(j.frames[s->frames[0]].file, "/f.c");
	assert_int_equal(j.frames[s->frames[0]].line, 3);
	assert_int_equal(stack_of(&j, "y", 2)->value[1], 9);
	assert_int_equal(stack_of(&j, "", 0)->value[0], 7);
	join_done(&j);
	profile_free(alloc);
	profile_free(live);
}

/* What differs in a line, a module or whether it is inlined is another frame. */
static void frames_that_differ_stay_apart(void **state)
{
	struct profile *a = fake_profile(METRIC_LIVE, "f@/m@/f.c@3 1 1\n", NULL, 0);
	struct profile *b =
	        fake_profile(METRIC_PEAK, "f@/m@/f.c@4 1 1\nf@/n@/f.c@3 1 1\nf@/m@/f.c@3@inlined 1 1\n", NULL, 0);
	const struct profile *profiles[] = { a, b };
	struct join j;
	struct err err;

	(void)state;
	assert_int_equal(join_build(profiles, 2, &j, &err), 0);
	assert_int_equal(j.frame_count, 4);
	assert_int_equal(j.stack_count, 4);
	join_done(&j);
	profile_free(a);
	profile_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks_of_several_metrics_meet),
		cmocka_unit_test(frames_that_differ_stay_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

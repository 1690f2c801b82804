/* When slow requests call for a profile, and when that is written. */
#include "t.h"
#include <string.h>
#include "trigger_slow.h"
#include "units.h"

#define START (500 * NS_PER_S)

static struct trigger_slow t;
static struct trigger_slow_rules rules;
static uint64_t worst;

static int begin(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	rules = (struct trigger_slow_rules){ .limit_ns = NS_PER_S,
		                             .cooldown_ns = 60 * NS_PER_S,
		                             .window_ns = 30 * NS_PER_S,
		                             .count = 1,
		                             .patience_ns = 5 * NS_PER_S };
	worst = 0;
	return 0;
}

static enum trigger_slow_act answered(uint64_t at_s, uint64_t n, uint64_t seconds)
{
	struct trigger_slow_seen seen = { .answered = n, .answered_worst_ns = seconds * NS_PER_S };

	return trigger_slow_see(&t, &rules, START + at_s * NS_PER_S, &seen, &worst);
}

static enum trigger_slow_act running(uint64_t at_s, uint64_t n, uint64_t seconds)
{
	struct trigger_slow_seen seen = { .running = n, .running_worst_ns = seconds * NS_PER_S };

	return trigger_slow_see(&t, &rules, START + at_s * NS_PER_S, &seen, &worst);
}

static enum trigger_slow_act waiting(uint64_t at_s, bool still, uint64_t seconds)
{
	struct trigger_slow_seen seen = { .waited_for = still, .waited_ns = seconds * NS_PER_S };

	return trigger_slow_see(&t, &rules, START + at_s * NS_PER_S, &seen, &worst);
}

static enum trigger_slow_act nothing(uint64_t at_s)
{
	return answered(at_s, 0, 0);
}

static void an_answered_one_is_written_at_once(void **state)
{
	(void)state;
	assert_int_equal(nothing(0), TRIGGER_SLOW_NOTHING);
	assert_int_equal(answered(1, 1, 3), TRIGGER_SLOW_WRITE);
	assert_true(worst == 3 * NS_PER_S);
	assert_int_equal(nothing(2), TRIGGER_SLOW_NOTHING);
}

static void off_is_off(void **state)
{
	(void)state;
	rules.limit_ns = 0;
	assert_int_equal(answered(1, 9, 3), TRIGGER_SLOW_NOTHING);
	assert_int_equal(running(2, 9, 3), TRIGGER_SLOW_NOTHING);
}

static void a_running_one_is_waited_for(void **state)
{
	(void)state;
	assert_int_equal(running(1, 1, 2), TRIGGER_SLOW_WAIT);
	assert_int_equal(waiting(2, true, 3), TRIGGER_SLOW_NOTHING);
	assert_int_equal(waiting(3, false, 0), TRIGGER_SLOW_WRITE);
	assert_true(worst == 3 * NS_PER_S);
}

static void but_not_for_ever(void **state)
{
	(void)state;
	assert_int_equal(running(1, 1, 2), TRIGGER_SLOW_WAIT);
	assert_int_equal(waiting(5, true, 6), TRIGGER_SLOW_NOTHING);
	assert_int_equal(waiting(6, true, 7), TRIGGER_SLOW_WRITE);
	assert_true(worst == 7 * NS_PER_S);
	rules.patience_ns = 0;
	assert_int_equal(running(70, 1, 2), TRIGGER_SLOW_WRITE);
}

static void a_storm_is_one_profile_a_cooldown(void **state)
{
	unsigned profiles = 0;

	(void)state;
	for (uint64_t s = 1; s <= 130; s++)
		profiles += answered(s, 100000, 2) == TRIGGER_SLOW_WRITE;
	assert_int_equal(profiles, 3); /* at 1, 61 and 121 seconds */
}

/* One that hangs while it is too early for the next profile is in that. */
static void what_comes_in_the_cooldown_is_not_forgotten(void **state)
{
	(void)state;
	assert_int_equal(answered(1, 1, 2), TRIGGER_SLOW_WRITE);
	assert_int_equal(running(30, 1, 5), TRIGGER_SLOW_NOTHING);
	assert_int_equal(running(60, 1, 35), TRIGGER_SLOW_NOTHING);
	assert_int_equal(running(61, 1, 36), TRIGGER_SLOW_WAIT);
	(void)begin(NULL);
	assert_int_equal(answered(1, 1, 2), TRIGGER_SLOW_WRITE);
	assert_int_equal(answered(50, 1, 4), TRIGGER_SLOW_NOTHING);
	assert_int_equal(nothing(61), TRIGGER_SLOW_WRITE);
	assert_true(worst == 4 * NS_PER_S);
	assert_int_equal(answered(80, 1, 9), TRIGGER_SLOW_NOTHING);
	assert_int_equal(nothing(122), TRIGGER_SLOW_NOTHING); /* that was before the window */
}

static void it_may_take_several(void **state)
{
	(void)state;
	rules.count = 3;
	assert_int_equal(answered(1, 2, 2), TRIGGER_SLOW_NOTHING);
	assert_int_equal(answered(40, 1, 2), TRIGGER_SLOW_NOTHING); /* the first two were before the window */
	assert_int_equal(answered(41, 1, 5), TRIGGER_SLOW_NOTHING);
	assert_int_equal(running(42, 1, 3), TRIGGER_SLOW_WAIT); /* one under way counts */
	assert_int_equal(waiting(43, false, 0), TRIGGER_SLOW_WRITE);
	assert_true(worst == 5 * NS_PER_S);
	(void)begin(NULL);
	rules.count = 100000; /* more than is kept */
	assert_int_equal(answered(1, TRIGGER_SLOW_COUNT_MAX - 1, 2), TRIGGER_SLOW_NOTHING);
	assert_int_equal(answered(2, 1, 2), TRIGGER_SLOW_WRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answered_one_is_written_at_once, begin),
		cmocka_unit_test_setup(off_is_off, begin),
		cmocka_unit_test_setup(a_running_one_is_waited_for, begin),
		cmocka_unit_test_setup(but_not_for_ever, begin),
		cmocka_unit_test_setup(a_storm_is_one_profile_a_cooldown, begin),
		cmocka_unit_test_setup(what_comes_in_the_cooldown_is_not_forgotten, begin),
		cmocka_unit_test_setup(it_may_take_several, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

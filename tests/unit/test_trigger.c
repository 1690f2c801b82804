/* When a profile is due for memory, and which of them are kept. */
#include "t.h"
#include <string.h>
#include "trigger.h"
#include "units.h"

#define MIB      UINT64_C(1048576)
#define START_NS (500 * NS_PER_S)

struct seen {
	unsigned count[TRIGGER_KINDS];
	uint64_t at_s[TRIGGER_KINDS], bad[TRIGGER_KINDS]; /* the last time */
};

/* Looks every 100 ms for so long; `bytes_at` says what there is in a tenth of a second. */
static struct seen run(const struct trigger_rules *rules, unsigned seconds, uint64_t (*bytes_at)(unsigned tenth))
{
	static struct trigger t;
	struct seen seen = { 0 };

	memset(&t, 0, sizeof(t));
	for (unsigned i = 0; i < seconds * 10; i++) {
		enum trigger_kind kind;
		uint64_t bad;

		if (trigger_see(&t, rules, START_NS + i * (NS_PER_S / 10), bytes_at(i), &kind, &bad)) {
			seen.count[kind]++;
			seen.at_s[kind] = i / 10;
			seen.bad[kind] = bad;
		}
	}
	return seen;
}

static uint64_t level(unsigned tenth)
{
	(void)tenth;
	return 100 * MIB;
}

static uint64_t one_mib_a_second(unsigned tenth)
{
	return tenth * MIB / 10;
}

static uint64_t starts_and_stays(unsigned tenth)
{
	return tenth < 80 ? tenth * 10 * MIB : 800 * MIB;
}

static uint64_t up_and_down(unsigned tenth) /* 200 MiB for ten seconds of each twenty */
{
	return tenth / 100 % 2 ? 200 * MIB : 50 * MIB;
}

static void nothing_trips_what_is_off_or_below(void **state)
{
	struct seen off = run(&(struct trigger_rules){ 0, 0, 0 }, 200, one_mib_a_second);
	struct seen below = run(&(struct trigger_rules){ 100 * MIB, 50 * MIB, 0 }, 200, level);

	(void)state;
	assert_true(off.count[TRIGGER_MEMORY] == 0 && off.count[TRIGGER_GROWTH] == 0);
	assert_true(below.count[TRIGGER_MEMORY] == 0 && below.count[TRIGGER_GROWTH] == 0);
}

static void memory_trips_at_the_limit(void **state)
{
	struct seen s = run(&(struct trigger_rules){ 50 * MIB, 0, 60 * NS_PER_S }, 55, one_mib_a_second);

	(void)state;
	assert_int_equal(s.count[TRIGGER_MEMORY], 1);
	assert_int_equal(s.at_s[TRIGGER_MEMORY], 50);
	assert_true(s.bad[TRIGGER_MEMORY] > 50 * MIB && s.bad[TRIGGER_MEMORY] <= 51 * MIB);
}

static void a_level_above_it_trips_once(void **state)
{
	struct seen s = run(&(struct trigger_rules){ 90 * MIB, 0, NS_PER_S }, 300, level);

	(void)state;
	assert_int_equal(s.count[TRIGGER_MEMORY], 1);
}

/* 100 seconds above: at 50 s, and each time that both ten seconds and a sixteenth have gone by. */
static void a_rise_above_it_trips_again(void **state)
{
	struct seen s = run(&(struct trigger_rules){ 50 * MIB, 0, 10 * NS_PER_S }, 150, one_mib_a_second);

	(void)state;
	assert_int_equal(s.count[TRIGGER_MEMORY], 10);
}

static void a_fall_arms_it_again(void **state)
{
	struct seen s = run(&(struct trigger_rules){ 100 * MIB, 0, 5 * NS_PER_S }, 100, up_and_down);
	struct seen cool = run(&(struct trigger_rules){ 100 * MIB, 0, 60 * NS_PER_S }, 100, up_and_down);

	(void)state;
	assert_int_equal(s.count[TRIGGER_MEMORY], 5);
	assert_int_equal(cool.count[TRIGGER_MEMORY], 2); /* at 10 s, and at 70 s */
}

static void growth_trips_above_its_rate(void **state)
{
	struct seen slow = run(&(struct trigger_rules){ 0, 61 * MIB, 0 }, 300, one_mib_a_second);
	struct seen fast = run(&(struct trigger_rules){ 0, 50 * MIB, 3600 * NS_PER_S }, 300, one_mib_a_second);

	(void)state;
	assert_int_equal(slow.count[TRIGGER_GROWTH], 0);
	assert_int_equal(fast.count[TRIGGER_GROWTH], 1);
	assert_true(fast.at_s[TRIGGER_GROWTH] >= 60 && fast.at_s[TRIGGER_GROWTH] <= 62);
}

static void beginning_is_no_growth(void **state)
{
	struct seen s = run(&(struct trigger_rules){ 0, 50 * MIB, 0 }, 300, starts_and_stays);

	(void)state;
	assert_int_equal(s.count[TRIGGER_GROWTH], 0);
}

/* A helper that slept for an hour counts what came meanwhile as of now. */
static void a_gap_is_survived(void **state)
{
	static struct trigger t;
	struct trigger_rules rules = { 0, 50 * MIB, 0 };
	enum trigger_kind kind;
	uint64_t bad;

	(void)state;
	assert_false(trigger_see(&t, &rules, START_NS, MIB, &kind, &bad));
	assert_false(trigger_see(&t, &rules, START_NS + 20 * NS_PER_S, MIB, &kind, &bad));
	assert_false(trigger_see(&t, &rules, START_NS + 3600 * NS_PER_S, 900 * MIB, &kind, &bad));
	assert_false(trigger_see(&t, &rules, START_NS + 3601 * NS_PER_S, 940 * MIB, &kind, &bad));
	assert_true(trigger_see(&t, &rules, START_NS + 3602 * NS_PER_S, 951 * MIB, &kind, &bad));
	assert_int_equal(kind, TRIGGER_GROWTH);
	assert_true(bad == 51 * MIB);
}

static void the_worst_are_kept(void **state)
{
	static struct trigger_kept k;
	static const uint64_t bad[] = { 5, 9, 1, 7, 7, 3, 8 };
	static const char *const gone[] = { NULL, NULL, NULL, "2", "0", "5", "3" }; /* of 7 and 7 the older one */
	char path[2] = "0", out[TRIGGER_PATH_BYTES], too_long[TRIGGER_PATH_BYTES + 1];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		path[0] = (char)('0' + i);
		trigger_keep(&k, bad[i], 1000, path);
		assert_int_equal(trigger_too_many(&k, 3, out), gone[i] != NULL);
		if (gone[i])
			assert_string_equal(out, gone[i]);
	}
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	trigger_keep(&k, 100, 1000, too_long);
	assert_int_equal(k.count, 3);
	assert_true(trigger_too_many(&k, 1, out) && out[0] == '4'); /* fewer are wanted by now */
	assert_true(trigger_too_many(&k, 1, out) && out[0] == '6');
	assert_false(trigger_too_many(&k, 1, out));
}

/* Looks once a second; so many per mille of each second are spent waiting. The second in which it tripped first; 0: never. */
static unsigned presses(uint64_t percent, unsigned seconds, unsigned (*stalled)(unsigned second))
{
	static struct trigger t;
	struct trigger_rules rules = { 0 };
	uint64_t sum = 7777, bad;

	memset(&t, 0, sizeof(t));
	for (unsigned i = 0; i < seconds; i++) {
		sum += stalled(i) * UINT64_C(1000);
		if (trigger_see_pressure(&t, &rules, percent, START_NS + i * NS_PER_S, sum, &bad)) {
			assert_in_range(bad, percent, 100);
			return i;
		}
	}
	return 0;
}

static unsigned a_burst(unsigned second) /* half of a second in a minute: a twentieth of ten */
{
	return second % 60 == 30 ? 500 : 0;
}

static unsigned steadily(unsigned second)
{
	(void)second;
	return 100;
}

static void pressure_is_a_share_of_ten_seconds(void **state)
{
	(void)state;
	assert_int_equal(presses(6, 300, a_burst), 0);
	assert_int_equal(presses(5, 300, a_burst), 30);
	assert_int_equal(presses(11, 300, steadily), 0);
	assert_int_equal(presses(10, 300, steadily), 10); /* not after the first second of it */
	assert_int_equal(presses(4, 300, steadily), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_trips_what_is_off_or_below),
		cmocka_unit_test(memory_trips_at_the_limit),
		cmocka_unit_test(a_level_above_it_trips_once),
		cmocka_unit_test(a_rise_above_it_trips_again),
		cmocka_unit_test(a_fall_arms_it_again),
		cmocka_unit_test(growth_trips_above_its_rate),
		cmocka_unit_test(beginning_is_no_growth),
		cmocka_unit_test(a_gap_is_survived),
		cmocka_unit_test(the_worst_are_kept),
		cmocka_unit_test(pressure_is_a_share_of_ten_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

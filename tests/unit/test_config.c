/* Tests of config.c: the table's defaults, every kind of value, and what is told to the user. */
#include "t.h"

#include <stdio.h>

#include "config.h"
#include "units.h"

static struct config c;

/* Parses one assignment; returns how many complaints it made. */
static unsigned with(const char *assignment)
{
	char *env[] = { (char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t)assignment, NULL };

	config_parse(&c, env);
	return config_complaints();
}

static void defaults_are_those_of_the_table(void **state)
{
	static const char *const texts[CONFIG_COUNT] = {
#define OPTION(NAME, field, kind, def, value, state, help) [CONFIG_##NAME] = def,
#include "options.def"
#undef OPTION
	};

	(void)state;
	config_parse(&c, NULL);
	assert_int_equal(config_complaints(), 0);
	assert_int_equal(c.cpu_hz, 99);
	assert_int_equal(c.heap, HEAP_SAMPLED);
	assert_int_equal(c.heap_interval, 512 << 10);
	assert_true(c.window == 30 * NS_PER_S);
	assert_int_equal(c.every, 0);
	assert_int_equal(c.follow, FOLLOW_FORK);
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		assert_int_equal(c.source[i], SNAP_OPTION_DEFAULT);
		assert_string_equal(c.text[i], texts[i]);
	}
}

/* Giving an option its own default changes nothing and is no complaint: so every default in the table parses. */
static void defaults_parse_as_given_values(void **state)
{
	struct config was;

	(void)state;
	config_parse(&was, NULL);
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		char line[256];

		(void)snprintf(line, sizeof(line), "PERFPROBE_%s=%s", config_name((enum config_index)i), was.text[i]);
		T_CHECK(line, with(line) == 0);
		T_CHECK(line, c.source[i] == SNAP_OPTION_ENVIRONMENT);
#define OPTION(NAME, field, kind, def, value, state, help) T_CHECK(line, c.field == was.field);
#include "options.def"
#undef OPTION
	}
}

static const struct {
	const char *assignment;
	unsigned complaints;
	size_t offset;
	uint64_t value;
} rows[] = {
#define ROW(assignment, complaints, field, value)                             \
	{                                                                     \
		assignment, complaints, offsetof(struct config, field), value \
	}
	ROW("PERFPROBE_CPU=999", 0, cpu_hz, 999),
	ROW("PERFPROBE_CPU=0", 0, cpu_hz, 0),
	ROW("PERFPROBE_CPU=10000", 0, cpu_hz, 10000),
	ROW("PERFPROBE_CPU=10001", 1, cpu_hz, 99),
	ROW("PERFPROBE_CPU=-1", 1, cpu_hz, 99),
	ROW("PERFPROBE_CPU=", 1, cpu_hz, 99),
	ROW("PERFPROBE_CPU=99.5", 1, cpu_hz, 99),
	ROW("PERFPROBE_CPU=18446744073709551616", 1, cpu_hz, 99),
	ROW("PERFPROBE_HEAP=full", 0, heap, HEAP_FULL),
	ROW("PERFPROBE_HEAP=off", 0, heap, HEAP_OFF),
	ROW("PERFPROBE_HEAP=Full", 1, heap, HEAP_SAMPLED),
	ROW("PERFPROBE_HEAP=wall", 1, heap, HEAP_SAMPLED), /* another option's word */
	ROW("PERFPROBE_HEAP_INTERVAL=1", 0, heap_interval, 1),
	ROW("PERFPROBE_HEAP_INTERVAL=1T", 0, heap_interval, UINT64_C(1) << 40),
	ROW("PERFPROBE_HEAP_INTERVAL=0", 1, heap_interval, 512 << 10),
	ROW("PERFPROBE_HEAP_INTERVAL=2T", 1, heap_interval, 512 << 10),
	ROW("PERFPROBE_EVERY=10ms", 0, every, 10 * NS_PER_MS),
	ROW("PERFPROBE_EVERY=9ms", 1, every, 0),
	ROW("PERFPROBE_EVERY=off", 0, every, 0),
	ROW("PERFPROBE_EVERY=0", 0, every, 0),
	ROW("PERFPROBE_WINDOW=1h", 0, window, 3600 * NS_PER_S),
	ROW("PERFPROBE_WINDOW=999ms", 1, window, 30 * NS_PER_S),
	ROW("PERFPROBE_FOLLOW=both", 0, follow, FOLLOW_BOTH),
	ROW("PERFPROBE_UNWIND=fp", 0, unwind, UNWIND_FP),
	ROW("PERFPROBE_MEMORY=80%", 0, memory, 80),
	ROW("PERFPROBE_MEMORY=101%", 1, memory, 0),
	ROW("PERFPROBE_MEMORY=0%", 1, memory, 0),
	ROW("PERFPROBE_MEMORY=%", 1, memory, 0),
	ROW("PERFPROBE_MEMORY=500M", 0, memory, 500 << 20),
	ROW("PERFPROBE_GROWTH=50M/min", 0, growth, 50 << 20),
	ROW("PERFPROBE_GROWTH=60M/h", 0, growth, 1 << 20),
	ROW("PERFPROBE_GROWTH=1M/s", 0, growth, 60 << 20),
	ROW("PERFPROBE_GROWTH=50M", 1, growth, 0),
	ROW("PERFPROBE_GROWTH=/min", 1, growth, 0),
	ROW("PERFPROBE_GROWTH=50M/day", 1, growth, 0),
	ROW("PERFPROBE_LIB=/somewhere", 0, cpu_hz, 99), /* the launcher's */
	ROW("PERFPROBE_CPUS=1", 1, cpu_hz, 99),         /* no such name */
	ROW("PERFPROBE_CP=1", 1, cpu_hz, 99),
	ROW("PERFPROBE_=1", 1, cpu_hz, 99),
	ROW("PERFPROBE_CPU", 0, cpu_hz, 99), /* no assignment at all */
	ROW("perfprobe_cpu=1", 0, cpu_hz, 99),
#undef ROW
};

static void values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t value;

		T_CHECK(rows[i].assignment, with(rows[i].assignment) == rows[i].complaints);
		memcpy(&value, (char *)&c + rows[i].offset, sizeof(value));
		T_CHECK(rows[i].assignment, value == rows[i].value);
	}
	assert_int_equal(with("PERFPROBE_MEMORY=80%"), 0);
	assert_true(c.memory_is_percent);
	assert_int_equal(with("PERFPROBE_MEMORY=80"), 0);
	assert_false(c.memory_is_percent);
}

/* Hostile lengths: names and values longer than any buffer. */
static void long_names_and_values(void **state)
{
	static char line[2 * PATH_MAX];

	(void)state;
	memset(line, 'A', sizeof(line) - 1);
	memcpy(line, "PERFPROBE_", 10);
	line[sizeof(line) - 10] = '=';
	assert_int_equal(with(line), 1);
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "PERFPROBE_DIR=", 14);
	assert_int_equal(with(line), 1);
	assert_string_equal(c.text[CONFIG_DIR], "");
	line[14 + PATH_MAX - 1] = '\0';
	assert_int_equal(with(line), 0);
	assert_int_equal(strlen(c.text[CONFIG_DIR]), PATH_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_table),
		cmocka_unit_test(defaults_parse_as_given_values),
		cmocka_unit_test(values),
		cmocka_unit_test(long_names_and_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

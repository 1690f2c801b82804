/* Tests of units.c and units_parse.c: what is accepted, what is refused, and that print and parse agree. */
#include "t.h"

#include <errno.h>

#include "units.h"

enum { UNTOUCHED = 0x5eed };

struct parse_row {
	const char *name, *text;
	int rc;
	uint64_t value;
};

static const struct parse_row durations[] = {
	{ "bare number is seconds", "10", 0, 10 * NS_PER_S },
	{ "zero", "0", 0, 0 },
	{ "zero with a unit", "0ms", 0, 0 },
	{ "nanoseconds", "7ns", 0, 7 },
	{ "microseconds", "250us", 0, 250 * NS_PER_US },
	{ "milliseconds", "250ms", 0, 250 * NS_PER_MS },
	{ "seconds", "1s", 0, NS_PER_S },
	{ "minutes", "3m", 0, 180 * NS_PER_S },
	{ "hours", "2h", 0, 7200 * NS_PER_S },
	{ "bare fraction", "0.25", 0, 250 * NS_PER_MS },
	{ "fraction of an hour", "1.5h", 0, 5400 * NS_PER_S },
	{ "fraction of a nanosecond is dropped", "1.9ns", 0, 1 },
	{ "digits after the ninth are dropped", "0.0000000019s", 0, 1 },
	{ "two parts", "1m30s", 0, 90 * NS_PER_S },
	{ "all parts", "1h2m3s4ms5us6ns", 0, 3723 * NS_PER_S + 4005006 },
	{ "minutes then milliseconds", "1m5ms", 0, 60 * NS_PER_S + 5 * NS_PER_MS },
	{ "leading zeros", "0010s", 0, 10 * NS_PER_S },
	{ "largest", "18446744073709551615ns", 0, UINT64_MAX },
	{ "empty", "", -EINVAL, 0 },
	{ "only a unit", "s", -EINVAL, 0 },
	{ "unit is case sensitive", "5MS", -EINVAL, 0 },
	{ "minus", "-1s", -EINVAL, 0 },
	{ "plus", "+1s", -EINVAL, 0 },
	{ "leading space", " 1s", -EINVAL, 0 },
	{ "trailing space", "1s ", -EINVAL, 0 },
	{ "space inside", "1 s", -EINVAL, 0 },
	{ "unknown unit", "1d", -EINVAL, 0 },
	{ "unit that starts like one", "1sec", -EINVAL, 0 },
	{ "ascending", "30s1m", -EINVAL, 0 },
	{ "the same unit twice", "1s1s", -EINVAL, 0 },
	{ "bare number second", "1m30", -EINVAL, 0 },
	{ "bare number after zero minutes", "0m30", -EINVAL, 0 },
	{ "point without digits", "1.s", -EINVAL, 0 },
	{ "point first", ".5s", -EINVAL, 0 },
	{ "two points", "1.2.3s", -EINVAL, 0 },
	{ "exponent", "1e3s", -EINVAL, 0 },
	{ "hexadecimal", "0x10s", -EINVAL, 0 },
	{ "per cent", "10%", -EINVAL, 0 },
	{ "digits overflow", "18446744073709551616ns", -ERANGE, 0 },
	{ "scale overflows", "9999999999h", -ERANGE, 0 },
	{ "just over in seconds", "18446744074s", -ERANGE, 0 },
	{ "sum overflows", "5124095h34m33s709ms551us616ns", -ERANGE, 0 },
	{ "sum just fits", "5124095h34m33s709ms551us615ns", 0, UINT64_MAX },
};

static const struct parse_row sizes[] = {
	{ "bare number is bytes", "64", 0, 64 },
	{ "zero", "0", 0, 0 },
	{ "bytes", "64B", 0, 64 },
	{ "kilo", "512k", 0, 512 << 10 },
	{ "kilo, capital", "512K", 0, 512 << 10 },
	{ "kilobyte", "1kB", 0, 1024 },
	{ "kibibyte", "1KiB", 0, 1024 },
	{ "mega", "500M", 0, 500 << 20 },
	{ "mega, small", "500m", 0, 500 << 20 },
	{ "gibibyte", "2GiB", 0, UINT64_C(2) << 30 },
	{ "tera", "1T", 0, UINT64_C(1) << 40 },
	{ "fraction", "1.5k", 0, 1536 },
	{ "fraction cut to a byte", "0.0001k", 0, 0 },
	{ "whole with a zero fraction", "8.0", 0, 8 },
	{ "largest", "18446744073709551615", 0, UINT64_MAX },
	{ "largest in T", "16777215T", 0, UINT64_C(16777215) << 40 },
	{ "empty", "", -EINVAL, 0 },
	{ "half a byte", "0.5", -EINVAL, 0 },
	{ "minus", "-1k", -EINVAL, 0 },
	{ "only a unit", "k", -EINVAL, 0 },
	{ "iB alone", "5iB", -EINVAL, 0 },
	{ "Ki without B", "5Ki", -EINVAL, 0 },
	{ "two prefixes", "5kM", -EINVAL, 0 },
	{ "two Bs", "5BB", -EINVAL, 0 },
	{ "unknown prefix", "5P", -EINVAL, 0 },
	{ "a number after", "5k5", -EINVAL, 0 },
	{ "trailing space", "5k ", -EINVAL, 0 },
	{ "per cent", "80%", -EINVAL, 0 },
	{ "rate", "50M/min", -EINVAL, 0 },
	{ "digits overflow", "18446744073709551616", -ERANGE, 0 },
	{ "scale overflows", "16777216T", -ERANGE, 0 },
};

static const struct parse_row counts[] = {
	{ "zero", "0", 0, 0 },
	{ "ordinary", "99", 0, 99 },
	{ "leading zeros", "0099", 0, 99 },
	{ "largest", "18446744073709551615", 0, UINT64_MAX },
	{ "overflow", "18446744073709551616", -ERANGE, 0 },
	{ "far overflow", "99999999999999999999999999", -ERANGE, 0 },
	{ "empty", "", -EINVAL, 0 },
	{ "minus", "-1", -EINVAL, 0 },
	{ "fraction", "1.5", -EINVAL, 0 },
	{ "zero fraction", "1.0", -EINVAL, 0 },
	{ "point", "1.", -EINVAL, 0 },
	{ "unit", "1k", -EINVAL, 0 },
	{ "space", "1 ", -EINVAL, 0 },
};

/* The text ends (NUL included) at a forbidden page: a parser that looks one past it dies here. */
static void check_rows(const struct parse_row *rows, size_t count, int (*parse)(const char *, uint64_t *))
{
	for (size_t i = 0; i < count; i++) {
		struct t_guarded text = t_guarded_new(rows[i].text, strlen(rows[i].text) + 1);
		uint64_t value = UNTOUCHED;

		T_CHECK(rows[i].name, parse((const char *)text.data, &value) == rows[i].rc);
		T_CHECK(rows[i].name, value == (rows[i].rc == 0 ? rows[i].value : UNTOUCHED));
		t_guarded_free(&text);
	}
}

static void units_parse_tables(void **state)
{
	(void)state;
	check_rows(durations, ARRAY_LEN(durations), units_parse_duration);
	check_rows(sizes, ARRAY_LEN(sizes), units_parse_bytes);
	check_rows(counts, ARRAY_LEN(counts), units_parse_count);
}

static const struct {
	uint64_t ns;
	const char *print, *format;
} duration_texts[] = {
	{ 0, "0 ns", "0ns" },
	{ 999, "999 ns", "999ns" },
	{ 1000, "1 us", "1us" },
	{ 1500, "1.5 us", "1500ns" },
	{ 123456, "123 us", "123456ns" },
	{ 999499, "999 us", "999499ns" },
	{ 999999, "1.00 ms", "999999ns" },
	{ 1500000, "1.50 ms", "1500us" },
	{ NS_PER_S, "1.00 s", "1s" },
	{ 90 * NS_PER_S, "90.00 s", "90s" },
	{ 120 * NS_PER_S, "0h02m00s", "2m" },
	{ 3661 * NS_PER_S, "1h01m01s", "3661s" },
	{ 7200 * NS_PER_S, "2h00m00s", "2h" },
	{ UINT64_MAX, "5124095h34m33s", "18446744073709551615ns" },
};

static const struct {
	uint64_t bytes;
	const char *print, *format;
} size_texts[] = {
	{ 0, "0 B", "0" },
	{ 1023, "1023 B", "1023" },
	{ 1024, "1.0 KiB", "1k" },
	{ 1536, "1.5 KiB", "1536" },
	{ 512 << 10, "512.0 KiB", "512k" },
	{ 12 << 20, "12.0 MiB", "12M" },
	{ UINT64_C(3) << 30, "3.0 GiB", "3G" },
	{ UINT64_C(5) << 40, "5.0 TiB", "5T" },
	{ UINT64_MAX, "16777216.0 TiB", "18446744073709551615" },
};

static void units_print_texts(void **state)
{
	char out[24]; /* the size the header promises is enough */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(duration_texts); i++) {
		T_STR("print", units_print_duration(out, sizeof(out), duration_texts[i].ns), duration_texts[i].print);
		T_STR("format", units_format_duration(out, sizeof(out), duration_texts[i].ns),
		      duration_texts[i].format);
	}
	for (size_t i = 0; i < ARRAY_LEN(size_texts); i++) {
		T_STR("print", units_print_bytes(out, sizeof(out), size_texts[i].bytes), size_texts[i].print);
		T_STR("format", units_format_bytes(out, sizeof(out), size_texts[i].bytes), size_texts[i].format);
	}
}

/* parse(format(x)) == x for every power of two and of ten and their neighbours. */
static void units_round_trip(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * 64; i++) {
		uint64_t value = (UINT64_C(1) << i / 3) + i % 3 - 1, back = 0;
		char out[24];

		assert_int_equal(units_parse_duration(units_format_duration(out, sizeof(out), value), &back), 0);
		assert_true(back == value);
		assert_int_equal(units_parse_bytes(units_format_bytes(out, sizeof(out), value), &back), 0);
		assert_true(back == value);
	}
	for (uint64_t ten = 1; ten <= UINT64_MAX / 10; ten *= 10) {
		uint64_t back = 0;
		char out[24];

		assert_int_equal(units_parse_duration(units_format_duration(out, sizeof(out), ten), &back), 0);
		assert_true(back == ten);
	}
}

/* A buffer too small is cut and terminated, never overrun. */
static void units_small_buffers(void **state)
{
	(void)state;
	for (size_t size = 1; size < 24; size++) {
		struct t_guarded out = t_guarded_new(NULL, size);

		assert_true(strlen(units_format_duration((char *)out.data, size, UINT64_MAX)) < size);
		assert_true(strlen(units_format_bytes((char *)out.data, size, UINT64_MAX)) < size);
		assert_true(strlen(units_print_duration((char *)out.data, size, UINT64_MAX)) < size);
		assert_true(strlen(units_print_bytes((char *)out.data, size, UINT64_MAX)) < size);
		t_guarded_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_parse_tables),
		cmocka_unit_test(units_print_texts),
		cmocka_unit_test(units_round_trip),
		cmocka_unit_test(units_small_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

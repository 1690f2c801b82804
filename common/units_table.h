/* The units, once, for parsing and printing. Private to units*.c. */
#pragma once
#include "units.h"

struct unit {
	const char *name;
	uint64_t scale;
};

/* Largest first: printing takes the first that fits, parsing wants them descending ("1m30s"). */
enum { UNITS_DURATIONS = 6, UNITS_SIZES = 5 };
static const struct unit units_durations[UNITS_DURATIONS] = {
	{ "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S }, { "s", NS_PER_S },
	{ "ms", NS_PER_MS },      { "us", NS_PER_US },    { "ns", 1 },
};
static const struct unit units_sizes[UNITS_SIZES] = {
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "k", UINT64_C(1) << 10 },
	{ "", 1 },
};

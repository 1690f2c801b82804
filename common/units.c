#include "units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t scale;
};

/* Largest first: printing takes the first that fits, parsing the longest name that matches. */
static const struct unit durations[] = {
	{ "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S }, { "s", NS_PER_S },
	{ "ms", NS_PER_MS },      { "us", NS_PER_US },    { "ns", 1 },
};
static const struct unit sizes[] = {
	{ "T", UINT64_C(1) << 40 }, { "G", UINT64_C(1) << 30 }, { "M", UINT64_C(1) << 20 },
	{ "k", UINT64_C(1) << 10 }, { "", 1 },
};

/* digits [. digits] -> whole and a fraction in units of 1e-9. Returns the first character after, or NULL. */
static const char *parse_decimal(const char *s, uint64_t *ret_whole, uint64_t *ret_frac_1e9, int *ret_rc)
{
	uint64_t whole = 0, frac = 0, digit_value = NS_PER_S / 10;

	*ret_rc = -EINVAL;
	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole)) {
			*ret_rc = -ERANGE;
			return NULL;
		}
	}
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return NULL;
		for (; *s >= '0' && *s <= '9'; s++, digit_value /= 10)
			frac += (uint64_t)(*s - '0') * digit_value;
	}
	*ret_whole = whole;
	*ret_frac_1e9 = frac;
	*ret_rc = 0;
	return s;
}

static int scale_add(uint64_t whole, uint64_t frac_1e9, uint64_t scale, uint64_t *total)
{
	u128 value = (u128)whole * scale + (u128)frac_1e9 * scale / NS_PER_S;

	if (value > UINT64_MAX || __builtin_add_overflow(*total, (uint64_t)value, total))
		return -ERANGE;
	return 0;
}

static size_t word_len(const char *s)
{
	size_t n = 0;

	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z'))
		n++;
	return n;
}

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
			return &units[i];
	return NULL;
}

int units_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t total = 0, last_scale = UINT64_MAX;
	const char *s = text;

	do {
		uint64_t whole, frac;
		const struct unit *unit;
		size_t len;
		int rc;

		s = parse_decimal(s, &whole, &frac, &rc);
		if (!s)
			return rc;
		len = word_len(s);
		if (len == 0 && total == 0 && last_scale == UINT64_MAX)
			unit = &durations[2]; /* a bare number is seconds */
		else
			unit = unit_find(durations, ARRAY_LEN(durations), s, len);
		if (!unit || unit->scale >= last_scale)
			return -EINVAL; /* unknown, or not descending as in 1m30s */
		last_scale = unit->scale;
		rc = scale_add(whole, frac, unit->scale, &total);
		if (rc < 0)
			return rc;
		s += len;
		if (len == 0 && *s)
			return -EINVAL;
	} while (*s);
	*ret_ns = total;
	return 0;
}

int units_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole, frac, total = 0;
	char name[2] = { 0 };
	const struct unit *unit;
	const char *s;
	size_t len;
	int rc;

	s = parse_decimal(text, &whole, &frac, &rc);
	if (!s)
		return rc;
	len = word_len(s);
	if (s[len])
		return -EINVAL;
	/* Drop a trailing "iB" or "B"; what is left is the prefix. */
	if (len >= 3 && s[len - 2] == 'i' && s[len - 1] == 'B')
		len -= 2;
	else if (len >= 1 && s[len - 1] == 'B')
		len -= 1;
	if (len > 1)
		return -EINVAL;
	if (len == 1)
		name[0] = s[0] == 'K' ? 'k' : s[0] == 'm' ? 'M' : s[0] == 'g' ? 'G' : s[0] == 't' ? 'T' : s[0];
	unit = unit_find(sizes, ARRAY_LEN(sizes), name, len);
	if (!unit || (unit->scale == 1 && frac))
		return -EINVAL;
	rc = scale_add(whole, frac, unit->scale, &total);
	if (rc == 0)
		*ret_bytes = total;
	return rc;
}

int units_parse_count(const char *text, uint64_t *ret_count)
{
	uint64_t whole, frac;
	const char *s;
	int rc;

	s = parse_decimal(text, &whole, &frac, &rc);
	if (!s)
		return rc;
	if (*s || strchr(text, '.'))
		return -EINVAL;
	*ret_count = whole;
	return 0;
}

char *units_print_duration(char *out, size_t size, uint64_t ns)
{
	if (ns < NS_PER_US)
		(void)snprintf(out, size, "%u ns", (unsigned)ns);
	else if (ns < NS_PER_MS)
		(void)snprintf(out, size, "%.3g us", (double)ns / 1e3);
	else if (ns < NS_PER_S)
		(void)snprintf(out, size, "%.2f ms", (double)ns / 1e6);
	else if (ns < 120 * NS_PER_S)
		(void)snprintf(out, size, "%.2f s", (double)ns / 1e9);
	else
		(void)snprintf(out, size, "%lluh%02llum%02llus", (unsigned long long)(ns / NS_PER_S / 3600),
			       (unsigned long long)(ns / NS_PER_S / 60 % 60), (unsigned long long)(ns / NS_PER_S % 60));
	return out;
}

char *units_print_bytes(char *out, size_t size, uint64_t bytes)
{
	for (size_t i = 0; i + 1 < ARRAY_LEN(sizes); i++) {
		if (bytes >= sizes[i].scale) {
			const char *name = sizes[i].name[0] == 'k' ? "K" : sizes[i].name;

			(void)snprintf(out, size, "%.1f %siB", (double)bytes / (double)sizes[i].scale, name);
			return out;
		}
	}
	(void)snprintf(out, size, "%u B", (unsigned)bytes);
	return out;
}

static char *format_exact(char *out, size_t size, uint64_t value, const struct unit *units, size_t count)
{
	size_t i = 0;

	while (i + 1 < count && (value % units[i].scale != 0 || value == 0))
		i++;
	(void)snprintf(out, size, "%llu%s", (unsigned long long)(value / units[i].scale), units[i].name);
	return out;
}

char *units_format_duration(char *out, size_t size, uint64_t ns)
{
	return format_exact(out, size, ns, durations, ARRAY_LEN(durations));
}

char *units_format_bytes(char *out, size_t size, uint64_t bytes)
{
	return format_exact(out, size, bytes, sizes, ARRAY_LEN(sizes));
}

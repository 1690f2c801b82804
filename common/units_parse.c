/* units_parse.c - text to numbers; no libc beyond string.h, so that the preloaded library may use it too. */
#include "units.h"
#include "units_table.h"

#include <errno.h>
#include <string.h>

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
			unit = &units_durations[2]; /* a bare number is seconds */
		else
			unit = unit_find(units_durations, UNITS_DURATIONS, s, len);
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
	unit = unit_find(units_sizes, UNITS_SIZES, name, len);
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

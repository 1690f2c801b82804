/* units.c - numbers to text; the table is shared with units_parse.c. */
#include "units.h"
#include "units_table.h"

#include <stdio.h>

char *units_print_duration(char *out, size_t size, uint64_t ns)
{
	if (ns < NS_PER_US)
		(void)snprintf(out, size, "%u ns", (unsigned)ns);
	else if (ns < 999500) /* from here on three digits round to 1e+03 */
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
	for (size_t i = 0; i + 1 < UNITS_SIZES; i++) {
		if (bytes >= units_sizes[i].scale) {
			const char *name = units_sizes[i].name[0] == 'k' ? "K" : units_sizes[i].name;

			(void)snprintf(out, size, "%.1f %siB", (double)bytes / (double)units_sizes[i].scale, name);
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
	return format_exact(out, size, ns, units_durations, UNITS_DURATIONS);
}

char *units_format_bytes(char *out, size_t size, uint64_t bytes)
{
	return format_exact(out, size, bytes, units_sizes, UNITS_SIZES);
}

#include "metrics_text.h"

#include <string.h>

#include "compiler.h"
#include "say.h"
#include "units.h"

enum type { COUNTER, GAUGE, HISTOGRAM };

static const struct family {
	const char *name, *otel, *help;
	enum type type;
} families[METRIC_COUNT] = {
#define METRIC(id, type, name, otel, help) { name, otel, help, type },
#include "metrics.def"
#undef METRIC
};

static void put_bytes(struct metrics_text *t, const char *at, size_t n)
{
	if (n > t->size - t->used) {
		t->full = true;
		n = t->size - t->used;
	}
	memcpy(t->to + t->used, at, n);
	t->used += n;
}

static void put(struct metrics_text *t, const char *text)
{
	put_bytes(t, text, strlen(text));
}

void metrics_text_begin(struct metrics_text *t, char *to, size_t size, bool otel, bool openmetrics)
{
	*t = (struct metrics_text){ .to = to, .size = size, .otel = otel, .openmetrics = openmetrics };
}

void metrics_text_end(struct metrics_text *t)
{
	if (t->openmetrics)
		put(t, "# EOF\n");
}

/* ---- families ----------------------------------------------------------------------------------------------------- */

/* OpenMetrics has the name of a counter's family without the ending that its samples have. */
static void put_family_line(struct metrics_text *t, const char *keyword, const struct family *f, const char *rest)
{
	size_t len = strlen(t->name), ending = strlen("_total");

	put(t, keyword);
	put_bytes(t, t->name, t->openmetrics && f->type == COUNTER ? len - ending : len);
	put(t, " ");
	put(t, rest);
	put(t, "\n");
}

bool metrics_family(struct metrics_text *t, enum metric id)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const struct family *f = &families[id];

	t->name = t->otel ? f->otel : f->name;
	if (!*t->name)
		return false;
	put_family_line(t, "# HELP ", f, f->help);
	put_family_line(t, "# TYPE ", f, types[f->type]);
	return true;
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

void metrics_sample(struct metrics_text *t, const char *suffix)
{
	put(t, t->name);
	put(t, suffix);
	t->labelled = false;
}

/* The length of the UTF-8 character at `s`; 0: there is none. RFC 3629 section 4. */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || (s[0] >= 0x80 && s[0] < 0xc2))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void put_escaped(struct metrics_text *t, const char *value)
{
	while (*value) {
		size_t n = utf8_length((const unsigned char *)value);

		if (*value == '\n')
			put(t, "\\n");
		else if (*value == '\\' || *value == '"')
			put_bytes(t, (const char[]){ '\\', *value }, 2);
		else if (n)
			put_bytes(t, value, n);
		else
			put(t, "\xef\xbf\xbd"); /* U+FFFD */
		value += n ? n : 1;
	}
}

void metrics_label(struct metrics_text *t, const char *name, const char *value)
{
	put(t, t->labelled ? "," : "{");
	t->labelled = true;
	put(t, name);
	put(t, "=\"");
	put_escaped(t, value);
	put(t, "\"");
}

void metrics_label_number(struct metrics_text *t, const char *name, uint64_t value)
{
	char digits[24];

	metrics_label(t, name, say_number(digits, value));
}

static void put_value(struct metrics_text *t, const char *value)
{
	put(t, t->labelled ? "} " : " ");
	put(t, value);
	put(t, "\n");
}

void metrics_number(struct metrics_text *t, uint64_t value)
{
	char digits[24];

	put_value(t, say_number(digits, value));
}

enum { SECONDS_BYTES = 36 };

/* "1.0", "0.005", "12.000000001": as OpenMetrics has the bounds of histograms, so that both formats give the same series. */
static const char *print_seconds(char to[SECONDS_BYTES], uint64_t ns)
{
	uint64_t unit = NS_PER_S / 10, rest = ns % NS_PER_S;
	size_t len;

	say_number(to, ns / NS_PER_S);
	len = strlen(to);
	to[len++] = '.';
	do {
		to[len++] = (char)('0' + rest / unit);
		rest %= unit;
		unit /= 10;
	} while (rest);
	to[len] = '\0';
	return to;
}

void metrics_seconds(struct metrics_text *t, uint64_t ns)
{
	char digits[SECONDS_BYTES];

	put_value(t, print_seconds(digits, ns));
}

void metrics_infinite(struct metrics_text *t)
{
	put_value(t, "+Inf");
}

void metrics_one(struct metrics_text *t, enum metric id, uint64_t value)
{
	if (!metrics_family(t, id))
		return;
	metrics_sample(t, "");
	metrics_number(t, value);
}

void metrics_one_seconds(struct metrics_text *t, enum metric id, uint64_t ns)
{
	if (!metrics_family(t, id))
		return;
	metrics_sample(t, "");
	metrics_seconds(t, ns);
}

/* ---- histograms --------------------------------------------------------------------------------------------------- */

void metrics_histogram(struct metrics_text *t, const struct metrics_histogram *h, metrics_labels *labels,
                       const void *of)
{
	char bound[SECONDS_BYTES];
	uint64_t sum = 0;

	for (unsigned i = 0; i <= h->bounds; i++) {
		sum += h->count[i];
		if (i < h->from)
			continue;
		metrics_sample(t, "_bucket");
		labels(t, of);
		metrics_label(t, "le", i < h->bounds ? print_seconds(bound, h->bound_ns[i]) : "+Inf");
		metrics_number(t, sum);
	}
	metrics_sample(t, "_sum");
	labels(t, of);
	metrics_seconds(t, h->sum_ns);
	metrics_sample(t, "_count");
	labels(t, of);
	metrics_number(t, sum);
}

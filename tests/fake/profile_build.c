#include "profile_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile_make.h"

enum { MAX_DEPTH = 4096, MAX_LINES = 200000 };

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fake_profile: %s\n", what);
	abort();
}

/* "\xHH" -> byte, in place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		unsigned byte;

		if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static uint32_t add_frame(struct profile_maker *mk, char *text)
{
	struct profile_frame frame = { .module = "/usr/bin/demo" };
	char *part[5] = { strsep(&text, "@") };
	int64_t n;

	for (int i = 1; i < 5 && text; i++)
		part[i] = strsep(&text, "@");
	unescape(part[0]);
	frame.function = part[0];
	if (part[1])
		frame.module = part[1];
	if (part[2] && part[2][0])
		frame.file = part[2];
	if (part[3])
		frame.line = (uint32_t)strtoul(part[3], NULL, 10);
	frame.inlined = part[4] != NULL;
	if (frame.function[0] == '[')
		frame.module = "";
	n = profile_maker_frame(mk, &frame);
	check(n >= 0, "frame");
	return (uint32_t)n;
}

static int64_t add_line(struct profile_maker *mk, char *line, bool is_time, uint32_t *ret_thread)
{
	uint32_t frames[MAX_DEPTH], depth = 0;
	char *bar = strchr(line, '|'), *blank, *frame;
	uint64_t value;
	double count;

	*ret_thread = is_time ? 0 : PROFILE_NO_THREAD;
	if (bar && strspn(line, "0123456789") == (size_t)(bar - line)) {
		*ret_thread = (uint32_t)strtoul(line, NULL, 10);
		line = bar + 1;
	}
	blank = strrchr(line, ' ');
	check(blank, "no value");
	value = strtoull(blank + 1, NULL, 10);
	count = (double)value;
	*blank = '\0';
	bar = strrchr(line, ' ');
	if (bar && bar[1] && strspn(bar + 1, "0123456789") == strlen(bar + 1) && !is_time) {
		count = (double)value;
		value = strtoull(bar + 1, NULL, 10);
		*bar = '\0';
	}
	while ((frame = strsep(&line, ";"))) {
		check(depth < MAX_DEPTH, "too deep");
		if (*frame)
			frames[depth++] = add_frame(mk, frame);
	}
	for (uint32_t i = 0; i < depth / 2; i++) { /* leaf first */
		uint32_t other = frames[depth - 1 - i];

		frames[depth - 1 - i] = frames[i];
		frames[i] = other;
	}
	return profile_maker_add(mk, frames, depth, *ret_thread, value, count);
}

static void add_threads(struct profile_maker *mk)
{
	struct profile_thread threads[FAKE_THREADS];
	char names[FAKE_THREADS][16];

	for (uint32_t i = 0; i < FAKE_THREADS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "thread-%u", i);
		threads[i] = (struct profile_thread){ 1000 + i, names[i], 1000000000, 0 };
	}
	check(profile_maker_threads(mk, threads, FAKE_THREADS) == 0, "threads");
}

struct profile *fake_profile(enum profile_metric metric, const char *text, const struct fake_sample *samples,
                             size_t sample_count)
{
	bool is_time = metric == METRIC_CPU || metric == METRIC_WALL;
	struct profile_maker mk;
	struct profile *p = NULL;
	static struct {
		int64_t stack;
		uint32_t thread;
	} lines[MAX_LINES];
	char *copy = strdup(text), *rest = copy, *line;

	check(copy && profile_maker_init(&mk, metric) == 0, "memory");
	add_threads(&mk);
	for (size_t n = 0; (line = strsep(&rest, "\n"));) {
		if (!*line)
			continue;
		check(n < MAX_LINES, "too many lines");
		lines[n].stack = add_line(&mk, line, is_time, &lines[n].thread);
		check(lines[n++].stack >= 0, "stack");
	}
	for (size_t i = 0; i < sample_count; i++) { /* in the order given: that of time */
		struct profile_sample s = { samples[i].time_ns, lines[samples[i].line].thread,
			                    (uint32_t)lines[samples[i].line].stack, samples[i].weight, 0 };

		check(profile_maker_sample(&mk, s) == 0, "sample");
	}
	mk.profile->period_ns = is_time ? 10000000 : 0;
	mk.profile->pid = 4711;
	mk.profile->start_ns = 1000000000;
	mk.profile->end_ns = UINT64_C(61000000000);
	mk.profile->comm = profile_maker_text(&mk, "demo");
	mk.profile->cmdline = profile_maker_text(&mk, "demo --serve");
	check(profile_maker_finish(&mk, &p) == 0, "finish");
	profile_maker_done(&mk);
	free(copy);
	return p;
}

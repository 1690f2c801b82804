/* A view of a profile made from text (profile_build.h), for tests of pictures and exporters that need names no real program
 * would have: views_fixture VIEW METRIC FILE [FILE2]. VIEW is flamegraph, or an exporter's name; with FILE2 the flame graph
 * is differential. "time NS WEIGHT LINE" lines of FILE are samples with a time. The result goes to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "export.h"
#include "flamegraph.h"
#include "functions.h"
#include "profile_build.h"
#include "tree.h"

enum { MAX_SAMPLES = 100000 };
static struct fake_sample samples[MAX_SAMPLES];

static void fail(const char *what)
{
	fprintf(stderr, "views_fixture: %s\n", what);
	exit(1);
}

static struct profile *load(const char *path, enum profile_metric metric)
{
	FILE *f = fopen(path, "r");
	struct buf text = { 0 };
	char *line = NULL;
	size_t cap = 0, count = 0;
	struct profile *p;

	if (!f)
		fail(path);
	while (getline(&line, &cap, f) > 0) {
		struct fake_sample s;

		if (sscanf(line, "time %lu %u %zu", &s.time_ns, &s.weight, &s.line) == 3 && count < MAX_SAMPLES)
			samples[count++] = s;
		else
			buf_add_str(&text, line);
	}
	fclose(f);
	free(line);
	p = fake_profile(metric, text.data ? text.data : "", samples, count);
	buf_done(&text);
	return p;
}

static void draw(const struct profile *const *profiles, size_t n, struct buf *out)
{
	struct functions functions;
	struct tree *tree = NULL;
	struct tree_input inputs[2];
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	const char *notes[] = { "7 samples were lost: the total is too small by that." };
	struct flamegraph_options look = { .title = "demo (pid 4711): <CPU> & \"time\"",
		                           .subtitle = "made by a test",
		                           .notes = notes,
		                           .note_count = 1 };
	struct flamegraph_input in = { .functions = &functions,
		                       .profile_count = n,
		                       .metric = profiles[0]->metric,
		                       .period_ns = profiles[0]->period_ns };

	if (getenv("FIXTURE_MIN_WIDTH"))
		look.min_width_px = strtod(getenv("FIXTURE_MIN_WIDTH"), NULL);
	for (size_t i = 0; i < n; i++)
		inputs[i] = (struct tree_input){ profiles[i], 1 };
	if (functions_build(profiles, n, &functions, NULL) < 0 ||
	    tree_build(inputs, n, &functions, &options, &tree, NULL) < 0)
		fail("memory");
	tree_check(tree);
	in.tree = tree;
	flamegraph_write(&in, &look, out);
	tree_free(tree);
	functions_done(&functions);
}

int main(int argc, char **argv)
{
	struct export_options options = { .tid = EXPORT_ALL_THREADS };
	const struct profile *profiles[2];
	enum profile_metric metric;
	struct buf out = { 0 };
	struct err err = { 0 };
	size_t n;

	if (argc < 4 || profile_metric_parse(argv[2], &metric, &err) < 0)
		fail("usage: views_fixture VIEW METRIC FILE [FILE2]");
	n = argc > 4 ? 2 : 1;
	for (size_t i = 0; i < n; i++)
		profiles[i] = load(argv[3 + i], metric);
	if (getenv("FIXTURE_TID"))
		options.tid = strtoull(getenv("FIXTURE_TID"), NULL, 10);
	if (strcmp(argv[1], "flamegraph") == 0)
		draw(profiles, n, &out);
	else if (!exporter_find(argv[1]) || exporter_find(argv[1])->write(profiles[0], &options, &out, &err) < 0)
		fail(err.text);
	for (size_t i = 0; i < n; i++)
		profile_free((struct profile *)profiles[i]);
	if (out.failed || fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
		fail("cannot write");
	buf_done(&out);
	return 0;
}

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "estimate.h"
#include "flamegraph.h"
#include "functions.h"
#include "slice.h"
#include "tree.h"
#include "units.h"

enum { LEAST_WIDTH = 200, MOST_WIDTH = 20000 };
#define LEAST_SHOWN 0.01 /* pixels of a frame, unless --min-width says otherwise */

struct options {
	const char *output, *metric, *title, *group, *per;
	struct cmd_slice slice;
	uint64_t width;
	double min_width;
	bool inverted, reverse, by_name, before, normalize;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE, "what is drawn (default: cpu if sampled, else live)",
	  offsetof(struct options, metric) },
	{ "title", 0, CLI_STRING, "TEXT", "instead of the program's name and the metric",
	  offsetof(struct options, title) },
	{ "width", 'w', CLI_U64, "PX", "fixed width in pixels (default: that of the window)",
	  offsetof(struct options, width) },
	{ "min-width", 0, CLI_DOUBLE, "PX", "leave out frames of fewer pixels in the whole picture (default 0.01)",
	  offsetof(struct options, min_width) },
	{ "inverted", 'i', CLI_FLAG, NULL, "root at the top (icicle)", offsetof(struct options, inverted) },
	{ "reverse", 'r', CLI_FLAG, NULL, "stacks leaf first: what each hot function was called by",
	  offsetof(struct options, reverse) },
	{ "by-name", 0, CLI_FLAG, NULL, "siblings in order of name, not of size", offsetof(struct options, by_name) },
	{ "group", 'g', CLI_CHOICE, "thread|route",
	  "a frame at the root for each (time; route: of samples with a time)", offsetof(struct options, group) },
	CMD_SLICE_OPTIONS(struct options, slice),
	{ "before", 0, CLI_FLAG, NULL, "with B: widths are A's, so that what vanished is seen",
	  offsetof(struct options, before) },
	{ "normalize", 0, CLI_FLAG, NULL, "with B: the same as --per share", offsetof(struct options, normalize) },
	{ "per", 0, CLI_CHOICE, "none|duration|requests|share",
	  "with B: compare what stands for a second recorded, a request answered, or the whole",
	  offsetof(struct options, per) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

/* Everything between the snapshots and the picture. */
struct work {
	struct cmd_input in[2];
	const struct profile *profiles[2];
	size_t n;
	uint64_t scale[2], period_ns; /* what makes the two profiles' values comparable, and what a value then is */
	struct functions functions;
	struct tree *tree;
	double before_scale;
};

static int check(struct options *o, size_t inputs, struct err *err)
{
	if (o->width && (o->width < LEAST_WIDTH || o->width > MOST_WIDTH))
		return err_set(err, -EINVAL, "--width takes %d to %d pixels", LEAST_WIDTH, MOST_WIDTH);
	if (o->min_width < 0)
		return err_set(err, -EINVAL, "--min-width takes pixels, 0 or more");
	if (inputs == 1 && (o->before || o->normalize || o->per))
		return err_set(err, -EINVAL, "%s compares two snapshots; give B too",
		               o->before      ? "--before"
		               : o->normalize ? "--normalize"
		                              : "--per");
	if (inputs == 2 && (o->group || cmd_slice_is_asked(&o->slice)))
		return err_set(err, -EINVAL, "%s works with one snapshot: two have different threads and times",
		               o->group          ? "--group"
		               : o->slice.thread ? "--thread"
		               : o->slice.route  ? "--route"
		               : o->slice.from   ? "--from"
		                                 : "--to");
	if (o->normalize && o->per && strcmp(o->per, "share") != 0)
		return err_set(err, -EINVAL, "--normalize is --per share; give one of them");
	if (o->normalize)
		o->per = "share";
	return 0;
}

static int group(struct cmd_input *in, const char *by, struct err *err)
{
	struct profile *grouped;
	int rc = slice_group(in->model, in->profile, strcmp(by, "route") == 0, &grouped, err);

	if (rc < 0)
		return rc;
	profile_free(in->profile);
	in->profile = grouped;
	return 0;
}

static int load(struct work *w, const char *const *paths, size_t count, const struct options *o, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *same = i ? profile_metric_name(w->profiles[0]->metric) : o->metric;
		int rc;

		w->in[i].how = &o->symbols;
		rc = cmd_load_profile(paths[i], same, CMD_PREFER_TIME, &w->in[i], err);
		if (rc == 0)
			rc = cmd_slice(&w->in[i], &o->slice, err);
		if (rc == 0 && o->group)
			rc = group(&w->in[i], o->group, err);
		if (rc < 0)
			return rc;
		w->profiles[w->n++] = w->in[i].profile;
		w->scale[i] = 1;
	}
	if (w->n == 2 && w->profiles[0]->checked != w->profiles[1]->checked)
		return err_set(err, -EINVAL,
		               "only %s was checked for unreachable blocks: leaks and blocks not freed do not compare",
		               paths[w->profiles[0]->checked ? 0 : 1]);
	w->period_ns = w->profiles[0]->period_ns;
	if (w->n == 2 && w->profiles[1]->period_ns != w->period_ns) {
		/* Samples of different rates: compare the time they stand for. */
		w->scale[0] = w->period_ns;
		w->scale[1] = w->profiles[1]->period_ns;
		w->period_ns = 1;
	}
	return 0;
}

static int merge(struct work *w, const struct options *o, struct err *err)
{
	struct tree_options options = { o->reverse, o->by_name ? TREE_BY_NAME : TREE_LARGEST_FIRST, TREE_ALL_THREADS };
	struct tree_input inputs[2] = { { w->profiles[0], w->scale[0] }, { w->profiles[1], w->scale[1] } };
	int rc = functions_build(w->profiles, w->n, &w->functions, err);
	if (rc == 0)
		rc = tree_build(inputs, w->n, &w->functions, &options, &w->tree, err);
	if (rc == 0 && w->tree->nodes[0].total[0] == 0 && w->tree->nodes[0].total[1] == 0)
		rc = err_set(err, -ENODATA, "nothing of %s was recorded%s", profile_text(w->profiles[0]),
		             cmd_slice_is_asked(&o->slice) ? " in that part" : "");
	if (rc == 0 && w->n == 2)
		rc = cmd_scale(&w->in[0], &w->in[1], o->per, (double)w->tree->nodes[0].total[0],
		               (double)w->tree->nodes[0].total[1], &w->before_scale, err);
	return rc;
}

static void add_total(const struct work *w, size_t k, struct buf *out)
{
	uint64_t total = w->tree->nodes[0].total[k];
	const char *unit = profile_metric_unit(w->profiles[k]->metric);
	char text[32];

	if (w->period_ns == 1)
		buf_add_str(out, units_print_duration(text, sizeof(text), total));
	else if (w->period_ns)
		buf_printf(out, "%s in %llu samples", units_print_duration(text, sizeof(text), total * w->period_ns),
		           (unsigned long long)total);
	else if (strcmp(unit, "bytes") == 0)
		buf_printf(out, "%s in %llu blocks", units_print_bytes(text, sizeof(text), total),
		           (unsigned long long)w->tree->nodes[0].count[k]);
	else
		buf_printf(out, "%llu %s", (unsigned long long)total, unit);
}

static void write_subtitle(const struct work *w, const struct options *o, const char *const *paths, struct buf *out)
{
	const struct profile *p = w->profiles[0];
	char text[32];

	add_total(w, 0, out);
	if (w->n == 2) {
		buf_printf(out, " in %s (before), ", paths[0]);
		add_total(w, 1, out);
		buf_printf(out, " in %s (after)%s", paths[1],
		           !o->per || strcmp(o->per, "none") == 0 ? ""
		           : strcmp(o->per, "share") == 0         ? "; compared by share"
		           : strcmp(o->per, "requests") == 0      ? "; compared per request answered"
		                                                  : "; compared per second recorded");
	} else if (p->end_ns > p->start_ns) {
		buf_printf(out, ", recorded for %s", units_print_duration(text, sizeof(text), p->end_ns - p->start_ns));
	}
	if (o->slice.from || o->slice.to)
		buf_printf(out, ", from %s to %s", o->slice.from ? o->slice.from : "the begin",
		           o->slice.to ? o->slice.to : "the end");
	if (o->slice.thread)
		buf_printf(out, ", thread %s", o->slice.thread);
	if (o->slice.route)
		buf_printf(out, ", requests of %s", o->slice.route);
	if (o->group)
		buf_printf(out, ", by %s", o->group);
	if (o->reverse)
		buf_add_str(out, ", leaf first: callers stand on what they called");
}

static void draw(const struct work *w, const struct options *o, const char *const *paths, struct buf *out)
{
	const struct profile *p = w->profiles[0];
	struct buf title = { 0 }, subtitle = { 0 }, lost = { 0 };
	struct flamegraph_options look = { .width_px = (uint32_t)o->width,
		                           .min_width_px = o->min_width,
		                           .inverted = o->inverted,
		                           .before = o->before,
		                           .before_scale = w->before_scale };
	struct flamegraph_input in = { w->tree, &w->functions, w->n, p->metric, w->period_ns };
	uint64_t losses = p->lost + (w->n == 2 ? w->profiles[1]->lost : 0);
	const char *notes[3];

	buf_printf(&title, "%s (pid %llu): %s%s", p->comm, (unsigned long long)p->pid, profile_text(p),
	           w->n == 2 ? ", what grew and shrank" : "");
	write_subtitle(w, o, paths, &subtitle);
	if (losses) {
		buf_printf(&lost, "%llu events were lost while recording: the total is too small by them.",
		           (unsigned long long)losses);
		notes[look.note_count++] = lost.data;
	}
	if (p->partial || (w->n == 2 && w->profiles[1]->partial))
		notes[look.note_count++] =
		        "Blocks of another allocator in the program are not in it: see probe-analyze info.";
	for (size_t i = 0; i < w->n; i++)
		look.variance[i] = estimate_variance(w->in[i].model, w->profiles[i]) * (double)w->scale[i];
	if (w->n == 2 && (look.variance[0] > 0 || look.variance[1] > 0))
		notes[look.note_count++] =
		        "Pale frames are the same, or differ by no more than the sampling error (95 %).";
	look.title = o->title ? o->title : title.data;
	look.subtitle = subtitle.data;
	look.notes = notes;
	if (title.failed || subtitle.failed || lost.failed)
		out->failed = true;
	else
		flamegraph_write(&in, &look, out);
	buf_done(&title);
	buf_done(&subtitle);
	buf_done(&lost);
}

static int write_picture(const char *const *paths, size_t count, const struct options *o, struct err *err)
{
	struct work w = { 0 };
	struct buf out = { 0 };
	int rc = load(&w, paths, count, o, err);

	if (rc == 0)
		rc = merge(&w, o, err);
	if (rc == 0) {
		draw(&w, o, paths, &out);
		rc = cmd_output(o->output, &out, err);
	}
	buf_done(&out);
	tree_free(w.tree);
	functions_done(&w.functions);
	cmd_input_done(&w.in[0]);
	cmd_input_done(&w.in[1]);
	return rc;
}

int cmd_flamegraph_write(const char *const paths[2], const struct cmd_symbols *how, const char *metric, const char *per,
                         const char *output, struct err *err)
{
	const struct options o = {
		.output = output, .metric = metric, .per = per, .min_width = LEAST_SHOWN, .symbols = *how
	};

	return write_picture(paths, 2, &o, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { .min_width = LEAST_SHOWN };
	struct cli_args args;
	int rc = cmd_parse(&cmd_flamegraph, argc, argv, &o, &args, 1, 2, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = check(&o, args.count, err);
	return rc < 0 ? rc : write_picture(args.items, args.count, &o, err);
}

const struct cli_command cmd_flamegraph = {
	"flamegraph",
	run,
	option_table,
	"A [B]",
	"interactive flame graph (SVG); with B what grew and shrank",
	"  probe-analyze flamegraph server.snap -o cpu.svg\n"
	"  probe-analyze flamegraph --group route server.snap -o routes.svg\n"
	"  probe-analyze flamegraph --metric live before.snap after.snap -o growth.svg    red grew, blue shrank\n",
};

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "diff.h"
#include "estimate.h"
#include "export_parts.h"
#include "headline.h"
#include "html.h"
#include "json_write.h"
#include "model.h"
#include "view.h"

struct options {
	const char *output, *metric, *format, *normalize;
	bool json, full_frames;
	uint64_t top;
	struct cmd_symbols symbols;
};

#define FORMATS "text|json|folded|flamegraph|html"
#define NORMALS "none|duration|requests|share"

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "format", 'f', CLI_STRING, FORMATS, "(default: text)", offsetof(struct options, format) },
	{ "json", 0, CLI_FLAG, NULL, "the same as --format json", offsetof(struct options, json) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE, "what is compared (default: live if recorded, else cpu)",
	  offsetof(struct options, metric) },
	{ "normalize", 0, CLI_CHOICE, NORMALS,
	  "compare what stands for a second recorded, a request answered, or the whole (default: none)",
	  offsetof(struct options, normalize) },
	{ "top", 'n', CLI_U64, "N", "only the N stacks that grew most (default: 10 in text, else all)",
	  offsetof(struct options, top) },
	{ "full-frames", 0, CLI_FLAG, NULL, "source lines and modules; whole stacks in text",
	  offsetof(struct options, full_frames) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

/* What every format may draw on. */
struct input {
	const struct cmd_input *before, *after;
	const char *before_path, *after_path;
	const struct diff *diff;
	const struct options *options;
	bool colour;
};

enum { TEXT_STACKS = 10, TEXT_SHRUNK = 5, TEXT_FRAMES = 12, TEXT_NAMES = 8 };

static bool is_memory(const struct diff *d)
{
	return d->period_ns == 0;
}

static const struct profile_frame *headline(const struct diff *d, const struct diff_stack *s)
{
	static const struct profile_frame none = { "[unknown]", "", NULL, 0, 0, false };

	return s->depth ? &d->frames[s->frames[headline_find(d->frames, s->frames, s->depth, is_memory(d))]] : &none;
}

static uint64_t scaled_before(const struct diff *d, uint64_t before)
{
	return d->scale == 1 ? before : (uint64_t)((double)before * d->scale + 0.5);
}

/* "+12.3 MiB  leak_request  (server)   1.0 MiB -> 13.3 MiB" and the stack below it. */
static void stack_text(const struct view *v, const struct input *in, const struct diff_stack *s)
{
	const struct diff *d = in->diff;

	view_style(v, s->noise ? VIEW_DIM : s->delta > 0 ? VIEW_BAD : VIEW_GOOD);
	view_delta(v, d->metric, d->period_ns, s->delta);
	view_style(v, VIEW_PLAIN);
	buf_add_str(v->out, "  ");
	view_function(v, headline(d, s));
	buf_add_str(v->out, "   ");
	view_value(v, d->metric, d->period_ns, scaled_before(d, s->before));
	buf_add_str(v->out, " -> ");
	view_value(v, d->metric, d->period_ns, s->after);
	if (strcmp(profile_metric_unit(d->metric), "bytes") == 0) {
		buf_add_str(v->out, " in ");
		view_count(v, s->count_after);
		buf_add_str(v->out, s->count_after == 1 ? " block" : " blocks");
	}
	buf_add_str(v->out, !s->before ? ", new" : !s->after ? ", vanished" : "");
	if (s->noise)
		view_text(v, VIEW_DIM, ", within the sampling error");
	buf_add_char(v->out, '\n');
	view_stack(v, d->frames, s->frames, s->depth, 10, in->options->full_frames ? 0 : TEXT_FRAMES);
	buf_add_char(v->out, '\n');
}

static void losses_text(const struct view *v, const struct cmd_input *in, const char *path)
{
	size_t before = v->out->len;

	view_losses(v, in->model);
	if (v->out->len > before) {
		v->out->len--; /* the line's end */
		buf_add_str(v->out, " in ");
		view_text(v, VIEW_PLAIN, path);
		buf_add_char(v->out, '\n');
	}
}

static const char *normal_words(const char *how)
{
	return strcmp(how, "duration") == 0   ? "by what stands for a second recorded"
	       : strcmp(how, "requests") == 0 ? "by what stands for a request answered"
	       : strcmp(how, "share") == 0    ? "by share of the whole"
	                                      : "by amounts";
}

static void head_text(const struct view *v, const struct input *in)
{
	const struct diff *d = in->diff;

	losses_text(v, in->before, in->before_path);
	losses_text(v, in->after, in->after_path);
	buf_printf(v->out, "%s: ", d->checked ? "bytes leaked" : profile_metric_text(d->metric));
	view_value(v, d->metric, d->period_ns, d->total_before);
	buf_add_str(v->out, " -> ");
	view_value(v, d->metric, d->period_ns, d->total_after);
	buf_add_str(v->out, " (");
	view_delta(v, d->metric, d->period_ns, (int64_t)(d->total_after - d->total_before));
	buf_add_char(v->out, ')');
	if (d->stack_count && d->stacks[0].delta > 0) {
		buf_add_str(v->out, ", most of it in ");
		view_text(v, VIEW_BOLD, headline(d, &d->stacks[0])->function);
	}
	buf_add_char(v->out, '\n');
	if (in->options->normalize)
		buf_printf(v->out, "Compared %s: the first counts %.4g times.\n", normal_words(in->options->normalize),
		           d->scale);
	if (d->noise_count)
		buf_printf(v->out, "%zu of %zu stacks differ by no more than the sampling error (95 %%).\n",
		           d->noise_count, d->stack_count);
	buf_add_char(v->out, '\n');
}

/* "New: render (1.2 s), draw (300 ms)", of those that chance does not explain. */
static void frames_line(const struct view *v, const struct diff *d, const struct diff_frame *list, size_t n,
                        bool is_new)
{
	size_t shown = 0, more = 0, noise = 0;

	for (size_t i = 0; i < n; i++) {
		if (list[i].is_new != is_new)
			continue;
		if (list[i].noise) {
			noise++;
		} else if (shown == TEXT_NAMES) {
			more++;
		} else {
			buf_add_str(v->out, shown++ ? ", " : is_new ? "New functions: " : "Vanished functions: ");
			view_text(v, VIEW_BOLD, d->frames[list[i].frame].function);
			buf_add_str(v->out, " (");
			view_value(v, d->metric, d->period_ns, list[i].value);
			buf_add_char(v->out, ')');
		}
	}
	if (shown && more)
		buf_printf(v->out, " and %zu more", more);
	if (shown && noise)
		buf_printf(v->out, "; %zu in so few samples that the other may have missed them", noise);
	if (shown)
		buf_add_str(v->out, "\n\n");
}

static int frames_text(const struct view *v, const struct diff *d, struct err *err)
{
	struct diff_frame *list;
	size_t n;
	int rc = diff_frames(d, &list, &n, err);

	if (rc < 0)
		return rc;
	frames_line(v, d, list, n, true);
	frames_line(v, d, list, n, false);
	free(list);
	return 0;
}

static int write_text(const struct input *in, struct buf *out, struct err *err)
{
	const struct diff *d = in->diff;
	struct view v = { out, in->colour };
	size_t most = in->options->top ? (size_t)in->options->top : TEXT_STACKS;
	size_t grown = 0, shrunk = 0, shown;

	int rc;

	while (grown < d->stack_count && d->stacks[grown].delta > 0)
		grown++;
	while (shrunk < d->stack_count && d->stacks[d->stack_count - 1 - shrunk].delta < 0)
		shrunk++;
	head_text(&v, in);
	rc = frames_text(&v, d, err);
	if (rc < 0)
		return rc;
	if (grown + shrunk == 0)
		buf_add_str(out, "No stack grew or shrank.\n");
	for (shown = 0; shown < grown && shown < most; shown++)
		stack_text(&v, in, &d->stacks[shown]);
	if (shown < grown)
		buf_printf(out, "... and %zu more that grew (--top N, --format json)\n\n", grown - shown);
	most = in->options->top ? most : TEXT_SHRUNK;
	for (shown = 0; shown < shrunk && shown < most; shown++)
		stack_text(&v, in, &d->stacks[d->stack_count - 1 - shown]);
	if (shown < shrunk)
		buf_printf(out, "... and %zu more that shrank\n", shrunk - shown);
	return 0;
}

/* "new": [{"function", "value", "within_error"}], "vanished": the same. */
static int json_frames(struct json *j, const struct diff *d, struct err *err)
{
	struct diff_frame *list;
	size_t n;
	int rc = diff_frames(d, &list, &n, err);

	if (rc < 0)
		return rc;
	for (unsigned is_new = 2; is_new-- > 0;) {
		json_key(j, is_new ? "new" : "vanished");
		json_array_begin(j);
		for (size_t i = 0; i < n; i++) {
			if (list[i].is_new != is_new)
				continue;
			json_object_begin(j);
			json_key_string(j, "function", d->frames[list[i].frame].function);
			json_key_u64(j, "value", list[i].value);
			json_key_bool(j, "within_error", list[i].noise);
			json_object_end(j);
		}
		json_array_end(j);
	}
	free(list);
	return 0;
}

static int write_json(const struct input *in, struct buf *out, struct err *err)
{
	const struct diff *d = in->diff;
	uint64_t top = in->options->top;
	struct json j;
	int rc;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "metric", profile_metric_name(d->metric));
	json_key_string(&j, "unit", profile_metric_unit(d->metric));
	json_key_u64(&j, "period_ns", d->period_ns);
	json_key_u64(&j, "total_before", d->total_before);
	json_key_u64(&j, "total_after", d->total_after);
	json_key_string(&j, "normalize", in->options->normalize ? in->options->normalize : "none");
	json_key_double(&j, "scale", d->scale);
	rc = json_frames(&j, d, err);
	if (rc < 0)
		return rc;
	json_key(&j, "stacks");
	json_array_begin(&j);
	for (size_t i = 0; i < d->stack_count && (top == 0 || i < top); i++) {
		const struct diff_stack *s = &d->stacks[i];

		json_object_begin(&j);
		json_key_u64(&j, "before", s->before);
		json_key_u64(&j, "after", s->after);
		json_key_i64(&j, "delta", s->delta);
		json_key_double(&j, "error", ESTIMATE_Z95 * sqrt(s->variance));
		json_key_bool(&j, "within_error", s->noise);
		json_key_u64(&j, "count_before", s->count_before);
		json_key_u64(&j, "count_after", s->count_after);
		json_key(&j, "frames");
		view_json_frames(&j, d->frames, s->frames, s->depth, in->options->full_frames);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
	return 0;
}

/* "root;...;leaf before after", as flamegraph.pl's difffolded. A semicolon or a line end in a name would split it. */
static int write_folded(const struct input *in, struct buf *out, struct err *err)
{
	const struct diff *d = in->diff;

	(void)err;
	for (size_t i = 0; i < d->stack_count && (in->options->top == 0 || i < in->options->top); i++) {
		const struct diff_stack *s = &d->stacks[i];

		for (uint32_t k = s->depth; k > 0; k--) {
			export_folded_name(out, d->frames[s->frames[k - 1]].function);
			if (k > 1)
				buf_add_char(out, ';');
		}
		buf_printf(out, " %" PRIu64 " %" PRIu64 "\n", scaled_before(d, s->before), s->after);
	}
	return 0;
}

/* What `flamegraph A B` draws, of the metric that diff has chosen. Both files are read once more: a picture of two wants them
 * by source line. */
static int write_flamegraph(const struct input *in, struct buf *out, struct err *err)
{
	const struct options *o = in->options;
	const char *const paths[] = { in->before_path, in->after_path };

	(void)out; /* written by itself */
	return cmd_flamegraph_write(paths, &o->symbols, profile_metric_name(in->diff->metric), o->normalize, o->output,
	                            err);
}

/* The page of both, opened with what differs. */
static int write_html(const struct input *in, struct buf *out, struct err *err)
{
	const char *const paths[] = { in->before_path, in->after_path };
	struct html_options look = { .diff = true,
		                     .metric = profile_metric_name(in->diff->metric),
		                     .normalize = in->options->normalize };

	(void)out; /* written by itself */
	return cmd_html_write(paths, 2, &in->options->symbols, &look, in->options->output, err);
}

/* One table of formats. */
static const struct format {
	const char *name;
	int (*write)(const struct input *in, struct buf *out, struct err *err);
	bool writes_itself;
} formats[] = {
	{ "text", write_text, false },     { "json", write_json, false },
	{ "folded", write_folded, false }, { "flamegraph", write_flamegraph, true },
	{ "html", write_html, true },
};

static int find_format(const struct options *o, const struct format **ret_format, struct err *err)
{
	const char *name = o->format ? o->format : o->json ? "json" : "text";

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (strcmp(formats[i].name, name) != 0)
			continue;
		*ret_format = &formats[i];
		return 0;
	}
	return cli_check_choice("--format", FORMATS, name, err);
}

/* How much of the first stands for as much of the second. */
static int settle(const struct cmd_input *before, const struct cmd_input *after, const char *how, struct diff *d,
                  struct err *err)
{
	const double variance[2] = { estimate_variance(before->model, before->profile),
		                     estimate_variance(after->model, after->profile) };
	double scale;
	int rc = cmd_scale(before, after, how, (double)d->total_before, (double)d->total_after, &scale, err);

	if (rc == 0)
		diff_settle(d, scale, variance);
	return rc;
}

/* Both sides show one metric: what the second snapshot has, unless it is named. */
static int load_both(const struct cli_args *args, const char *metric, struct cmd_input *before, struct cmd_input *after,
                     struct err *err)
{
	int rc = cmd_load_profile(args->items[1], metric, CMD_PREFER_MEMORY, after, err);

	if (rc == 0)
		rc = cmd_load_profile(args->items[0], profile_metric_name(after->profile->metric), CMD_PREFER_MEMORY,
		                      before, err);
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct cmd_input before = { .how = &o.symbols }, after = { .how = &o.symbols };
	const struct format *format = NULL;
	struct diff *d = NULL;
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_diff, argc, argv, &o, &args, 2, 2, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = find_format(&o, &format, err);
	if (rc == 0)
		rc = load_both(&args, o.metric, &before, &after, err);
	if (rc == 0)
		rc = diff_build(before.profile, after.profile, o.full_frames, &d, err);
	if (rc == 0)
		rc = settle(&before, &after, o.normalize, d, err);
	if (rc == 0) {
		struct input in = { &before, &after, args.items[0], args.items[1], d, &o, cmd_may_colour(o.output) };

		rc = format->write(&in, &out, err);
	}
	if (rc == 0 && !format->writes_itself)
		rc = cmd_output(o.output, &out, err);
	buf_done(&out);
	diff_free(d);
	cmd_input_done(&before);
	cmd_input_done(&after);
	return rc;
}

const struct cli_command cmd_diff = {
	"diff",
	run,
	option_table,
	"A B",
	"what grew and shrank from A to B, largest growth first",
	"  probe-analyze diff before.snap after.snap                  who holds more memory than before\n"
	"  probe-analyze diff --metric cpu before.snap after.snap     who uses more CPU time\n"
	"  probe-analyze diff --normalize requests before.snap after.snap    what a request costs more\n"
	"  probe-analyze diff --format html before.snap after.snap -o growth.html\n"
	"  probe-analyze diff --format json --top 10 before.snap after.snap -o growth.json\n",
};

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "by_thread.h"
#include "cmd.h"
#include "fold.h"
#include "hot.h"
#include "json_write.h"
#include "model.h"
#include "slice.h"
#include "view.h"
#include "view_heap.h"
#include "view_misuse.h"
#include "view_routes.h"
#include "view_threads.h"

struct options {
	const char *output, *metric, *by;
	struct cmd_slice slice;
	bool json, full_frames;
	uint64_t top;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE, "what is shown (default: cpu if sampled, else live)",
	  offsetof(struct options, metric) },
	{ "by", 'b', CLI_CHOICE, "stack|thread|route",
	  "thread: who used the time, allocated, or holds the memory; route: time by what was asked for (default: "
	  "stack)",
	  offsetof(struct options, by) },
	CMD_SLICE_OPTIONS(struct options, slice),
	{ "top", 'n', CLI_U64, "N",
	  "only the largest N stacks, and in text N functions (default: 10 and 20; JSON: all)",
	  offsetof(struct options, top) },
	{ "full-frames", 0, CLI_FLAG, NULL, "source lines and modules; whole stacks in text",
	  offsetof(struct options, full_frames) },
	{ "json", 0, CLI_FLAG, NULL, "as JSON", offsetof(struct options, json) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

enum { TEXT_FUNCTIONS = 20, TEXT_STACKS = 10, TEXT_FRAMES = 16 };

static bool in_memory(const struct profile *p)
{
	return p->period_ns == 0;
}

static void head(const struct view *v, const struct profile *p, const struct model *m)
{
	view_losses(v, m);
	view_text(v, VIEW_BOLD, p->comm);
	buf_printf(v->out, " (pid %" PRIu64 "): ", p->pid);
	view_value(v, p->metric, p->period_ns, p->total);
	buf_printf(v->out, " %s in %zu stacks", profile_text(p), p->stack_count);
	if (!in_memory(p)) {
		buf_add_str(v->out, ", ");
		view_count(v, p->total);
		buf_add_str(v->out, " samples");
	} else if (m->heap_mode == SNAP_HEAP_SAMPLED) {
		buf_add_str(v->out, ", estimated from samples");
	}
	if (p->metric == METRIC_LEAKED && !p->checked)
		buf_add_str(v->out,
		            "\nNot freed when this was written; whether anything still points there was not checked.");
	buf_add_char(v->out, '\n');
}

/* A bar of up to ten cells, eight steps a cell (U+2588 to U+258F). */
static void bar(const struct view *v, uint64_t part, uint64_t whole_value)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	unsigned steps = whole_value ? (unsigned)(80.0 * (double)part / (double)whole_value + 0.5) : 0;

	for (unsigned i = 0; i < 10; i++) {
		unsigned cell = steps > i * 8 ? steps - i * 8 : 0;

		buf_add_str(v->out, cell >= 8 ? "█" : cell ? eighths[cell] : " ");
	}
}

static int functions_text(const struct view *v, const struct profile *folded, uint64_t top, struct err *err)
{
	struct hot_function *list;
	size_t n, shown;
	int rc = hot_functions(folded, &list, &n, err);

	if (rc < 0)
		return rc;
	shown = top && top < n ? (size_t)top : n;
	if (!top && shown > TEXT_FUNCTIONS)
		shown = TEXT_FUNCTIONS;
	buf_add_char(v->out, '\n');
	view_text(v, VIEW_BOLD, "    self     total              function");
	buf_add_char(v->out, '\n');
	for (size_t i = 0; i < shown; i++) {
		const struct hot_function *h = &list[i];

		view_percent(v, h->self, folded->total);
		buf_add_str(v->out, "  ");
		view_percent(v, h->total, folded->total);
		buf_add_str(v->out, "  ");
		bar(v, h->self, folded->total);
		buf_add_char(v->out, ' ');
		view_function(v, &folded->frames[h->frame]);
		buf_add_char(v->out, '\n');
	}
	if (shown < n)
		buf_printf(v->out, "%30s ... and %zu more functions (--top %zu lists all)\n", "", n - shown, n);
	free(list);
	return 0;
}

static int stacks_text(const struct view *v, struct profile *p, const struct options *o, struct err *err)
{
	size_t most = o->top ? (size_t)o->top : TEXT_STACKS;
	size_t shown = p->stack_count < most ? p->stack_count : most;

	if (profile_frames(p, shown) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < shown; i++) {
		const struct profile_stack *s = &p->stacks[i];

		buf_add_char(v->out, '\n');
		view_percent(v, s->value, p->total);
		buf_add_str(v->out, "  ");
		view_style(v, VIEW_BOLD);
		view_value(v, p->metric, p->period_ns, s->value);
		view_style(v, VIEW_PLAIN);
		if (in_memory(p) && strcmp(profile_metric_unit(p->metric), "bytes") == 0) {
			buf_add_str(v->out, " in ");
			view_count(v, s->count);
			buf_add_str(v->out, s->count == 1 ? " block" : " blocks");
		}
		if (s->heap)
			view_heap_text(v, p, s->heap);
		if (s->thread < p->thread_count) {
			buf_add_str(v->out, "  thread ");
			view_text(v, VIEW_PLAIN, p->threads[s->thread].name);
			buf_printf(v->out, " (%" PRIu64 ")", p->threads[s->thread].tid);
		}
		buf_add_char(v->out, '\n');
		if (s->heap)
			view_lifetime_line(v, s->heap, 10);
		view_stack(v, p->frames, s->frames, s->depth, 10, o->full_frames ? 0 : TEXT_FRAMES);
	}
	if (shown < p->stack_count)
		buf_printf(v->out, "\n... and %zu more stacks (--top N, --json)\n", p->stack_count - shown);
	return 0;
}

/* Samples of one function differ in their addresses, so time is shown by names; memory by allocating lines. */
static int report_text(const struct cmd_input *in, const struct options *o, const struct view *v, struct err *err)
{
	struct profile *folded, *by_thread = NULL;
	struct profile *p = in->profile;
	int rc;

	rc = in_memory(p) ? view_misuse_line(v, in->model, in->symbols, err) : 0;
	if (rc < 0)
		return rc;
	head(v, p, in->model);
	if (p->stack_count == 0) {
		buf_add_str(v->out, p->checked ? "Nothing of it was found.\n" : "Nothing of it was recorded.\n");
		return 0;
	}
	rc = fold_names(p, true, &folded, err);
	if (rc < 0)
		return rc;
	if (!in_memory(p) && !o->full_frames)
		rc = fold_names(p, false, &by_thread, err);
	if (rc == 0)
		rc = functions_text(v, folded, o->top, err);
	if (rc == 0)
		rc = stacks_text(v, by_thread ? by_thread : p, o, err);
	profile_free(folded);
	profile_free(by_thread);
	return rc;
}

static int report_json(const struct cmd_input *in, const struct options *o, struct buf *out, struct err *err)
{
	struct profile *folded = NULL;
	struct json j;
	int rc = o->full_frames ? 0 : fold_names(in->profile, false, &folded, err);

	if (rc < 0)
		return rc;
	json_init(&j, out);
	view_json_profile(&j, folded ? folded : in->profile, o->top, o->full_frames);
	buf_add_char(out, '\n');
	profile_free(folded);
	return 0;
}

/* ---- by route ----------------------------------------------------------------------------------------------------- */

static int report_routes(const char *path, const struct options *o, struct cmd_input *in, struct buf *out,
                         struct err *err)
{
	struct view v = { out, cmd_may_colour(o->output) };
	struct slice_routes routes;
	int rc = cmd_load_profile(path, o->metric, CMD_PREFER_TIME, in, err);

	if (rc == 0 && in_memory(in->profile))
		rc = err_set(err, -EINVAL, "%s is not recorded by route; --by route takes a metric of time",
		             profile_text(in->profile));
	if (rc == 0 && !in->model->requests.recorded)
		rc = err_set(err, -ENODATA,
		             "%s: no requests were recorded (PERFPROBE_HTTP=off, or a recorder before 0.1.0)", path);
	if (rc == 0)
		rc = cmd_slice(in, &o->slice, err);
	if (rc == 0)
		rc = slice_routes(in->model, in->profile, &routes, err);
	if (rc < 0)
		return rc;
	if (o->json)
		view_routes_json(out, in->profile, &routes, (size_t)o->top);
	else
		view_routes_text(&v, in->model, in->profile, &routes, (size_t)o->top);
	slice_routes_done(&routes);
	return 0;
}

/* ---- by thread ---------------------------------------------------------------------------------------------------- */

static int report_threads(const char *path, const struct options *o, struct cmd_input *in, struct buf *out,
                          struct err *err)
{
	struct view v = { out, cmd_may_colour(o->output) };
	struct by_thread threads;
	enum profile_metric metric;
	int rc = 0;

	if (cmd_slice_is_asked(&o->slice))
		return err_set(err, -EINVAL,
		               "--by thread tells of whole recordings; leave --from, --to, --thread and --route out");
	rc = cmd_load(path, in, err);
	if (rc == 0)
		rc = cmd_metric(in->model, o->metric, CMD_PREFER_TIME, &metric, err);
	if (rc < 0)
		return rc;
	rc = by_thread(in->model, metric, &threads, err);
	if (rc < 0)
		return rc == -EINVAL ? rc : err_wrap(err, "%s", path);
	if (o->json)
		view_threads_json(out, in->model, metric, &threads, (size_t)o->top);
	else
		view_threads_text(&v, in->model, metric, &threads, (size_t)o->top);
	free(threads.rows);
	return 0;
}

static int report_stacks(const char *path, const struct options *o, struct cmd_input *in, struct buf *out,
                         struct err *err)
{
	struct view v = { out, cmd_may_colour(o->output) };
	int rc;

	in->in_tree = !cmd_slice_is_asked(&o->slice) && !o->json;
	rc = cmd_load_profile(path, o->metric, CMD_PREFER_TIME, in, err);
	if (rc == 0)
		rc = cmd_slice(in, &o->slice, err);
	if (rc < 0)
		return rc;
	return o->json ? report_json(in, o, out, err) : report_text(in, o, &v, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct cmd_input in = { .how = &o.symbols };
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_report, argc, argv, &o, &args, 1, 1, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (o.by && strcmp(o.by, "thread") == 0)
		rc = report_threads(args.items[0], &o, &in, &out, err);
	else if (o.by && strcmp(o.by, "route") == 0)
		rc = report_routes(args.items[0], &o, &in, &out, err);
	else
		rc = report_stacks(args.items[0], &o, &in, &out, err);
	if (rc == 0)
		rc = cmd_output(o.output, &out, err);
	buf_done(&out);
	cmd_input_done(&in);
	return rc;
}

const struct cli_command cmd_report = {
	"report",
	run,
	option_table,
	"A",
	"hottest functions and stacks",
	"  probe-analyze report server.snap                  where the CPU time went\n"
	"  probe-analyze report --metric live server.snap    who holds the memory\n"
	"  probe-analyze report --by thread --metric live server.snap    whose blocks are alive\n"
	"  probe-analyze report --by route server.snap       which requests used the CPU\n"
	"  probe-analyze report --from -5s --route /cart server.snap    the last 5 s, for one route\n"
	"  probe-analyze report --metric alloc --top 5 --json server.snap\n",
};

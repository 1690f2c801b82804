#include <inttypes.h>
#include <stddef.h>

#include "cmd.h"
#include "fold.h"
#include "headline.h"
#include "json_write.h"
#include "model.h"
#include "view.h"
#include "view_misuse.h"

struct options {
	const char *output;
	bool json, full_frames;
	uint64_t top;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "top", 'n', CLI_U64, "N", "only the largest N stacks (default: 20; JSON: all)",
	  offsetof(struct options, top) },
	{ "full-frames", 0, CLI_FLAG, NULL, "source lines and modules; whole stacks in text",
	  offsetof(struct options, full_frames) },
	{ "json", 0, CLI_FLAG, NULL, "as JSON", offsetof(struct options, json) },
	CLI_END,
};

enum { TEXT_STACKS = 20, TEXT_FRAMES = 12 };

static uint64_t blocks_of(const struct profile *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->stack_count; i++)
		n += p->stacks[i].count;
	return n;
}

static void leaks_json(const struct profile *p, const struct options *o, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_u64(&j, "leaked_bytes", p->total);
	json_key_u64(&j, "leaked_blocks", blocks_of(p));
	json_key_bool(&j, "reachability_checked", false);
	json_key_u64(&j, "lost", p->lost);
	json_key(&j, "leaks");
	json_array_begin(&j);
	for (size_t i = 0; i < p->stack_count && (o->top == 0 || i < o->top); i++) {
		const struct profile_stack *s = &p->stacks[i];

		json_object_begin(&j);
		json_key_u64(&j, "bytes", s->value);
		json_key_u64(&j, "blocks", s->count);
		json_key_string(&j, "kind", "unchecked"); /* "direct" or "indirect" take a reachability check */
		json_key_bool(&j, "confirmed", false);
		json_key(&j, "frames");
		view_json_frames(&j, p->frames, s->frames, s->depth, o->full_frames);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_key(&j, "suspects");
	json_array_begin(&j);
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

static void leaks_text(const struct profile *p, const struct model *m, const struct options *o, const struct view *v)
{
	size_t most = o->top ? (size_t)o->top : TEXT_STACKS;
	size_t shown;

	view_losses(v, m);
	view_text(v, VIEW_BOLD, p->comm);
	buf_printf(v->out, " (pid %" PRIu64 "): ", p->pid);
	view_value(v, p->metric, 0, p->total);
	buf_add_str(v->out, " not freed in ");
	view_count(v, blocks_of(p));
	buf_add_str(v->out, m->heap_mode == SNAP_HEAP_SAMPLED ? " blocks (estimated from samples)\n" : " blocks\n");
	buf_add_str(v->out,
	            "Not freed when this was written; whether anything still points there was not checked.\n\n");
	for (shown = 0; shown < p->stack_count && shown < most; shown++) {
		const struct profile_stack *s = &p->stacks[shown];

		view_style(v, VIEW_BOLD);
		view_value(v, p->metric, 0, s->value);
		view_style(v, VIEW_PLAIN);
		buf_add_str(v->out, " in ");
		view_count(v, s->count);
		buf_add_str(v->out, s->count == 1 ? " block  " : " blocks  ");
		if (s->depth)
			view_function(v, &p->frames[s->frames[headline_find(p->frames, s->frames, s->depth, 1)]]);
		buf_add_char(v->out, '\n');
		view_stack(v, p->frames, s->frames, s->depth, 10, o->full_frames ? 0 : TEXT_FRAMES);
		buf_add_char(v->out, '\n');
	}
	if (shown < p->stack_count)
		buf_printf(v->out, "... and %zu more stacks (--top N, --json)\n", p->stack_count - shown);
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct cmd_input in = { 0 };
	struct profile *folded = NULL;
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_leaks, argc, argv, &o, &args, 1, CLI_LIST_MAX, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	/* Every input must be readable; the last one is what is not freed now. Growth over all comes with the leak check. */
	for (size_t i = 0; i < args.count && rc == 0; i++) {
		cmd_input_done(&in);
		rc = cmd_load_profile(args.items[i], "leaked", CMD_PREFER_MEMORY, &in, err);
	}
	if (rc == 0 && o.json && !o.full_frames)
		rc = fold_names(in.profile, true, &folded, err);
	if (rc == 0) {
		struct view v = { &out, cmd_may_colour(o.output) };

		if (o.json)
			leaks_json(folded ? folded : in.profile, &o, &out);
		else
			rc = view_misuse_line(&v, in.model, in.symbols, err);
		if (rc == 0 && !o.json)
			leaks_text(in.profile, in.model, &o, &v);
	}
	if (rc == 0)
		rc = cmd_output(o.output, &out, err);
	buf_done(&out);
	profile_free(folded);
	cmd_input_done(&in);
	return rc;
}

const struct cli_command cmd_leaks = {
	"leaks",
	run,
	option_table,
	"A [B...]",
	"blocks not freed, by stack (the last snapshot given; reachability is not checked yet)",
	"  probe-analyze leaks server.4711.0001.exit.snap\n"
	"  probe-analyze leaks --json --top 10 server.4711.0001.exit.snap\n",
};

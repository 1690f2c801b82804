/*
 * cmd_leaks.c - one snapshot's leaks, and what several of them say about growth.
 *
 * Each snapshot is read, turned into what suspects are found from, and let go, but for the one whose leaks are told: the
 * newest that was checked, else the newest whose check failed, else the newest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "export.h"
#include "export_sarif.h"
#include "flamegraph.h"
#include "fold.h"
#include "functions.h"
#include "leaks.h"
#include "model.h"
#include "suppressions.h"
#include "suspects.h"
#include "tree.h"
#include "units.h"
#include "view.h"
#include "view_leaks.h"
#include "view_misuse.h"

struct options {
	const char *output, *format;
	struct cli_list suppressions;
	bool json, full_frames, no_suppressions, fail_on_leak;
	uint64_t top;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "format", 'f', CLI_CHOICE, "text|json|folded|flamegraph|sarif", "(default: text)",
	  offsetof(struct options, format) },
	{ "json", 0, CLI_FLAG, NULL, "the same as --format json", offsetof(struct options, json) },
	{ "top", 'n', CLI_U64, "N", "only the largest N leaks and the first N suspects (default: all)",
	  offsetof(struct options, top) },
	{ "full-frames", 0, CLI_FLAG, NULL, "source lines and modules; whole paths and stacks in text",
	  offsetof(struct options, full_frames) },
	{ "suppressions", 0, CLI_LIST, "FILE", "lines leak:TEMPLATE, as LeakSanitizer's (may be given several times)",
	  offsetof(struct options, suppressions) },
	{ "no-suppressions", 0, CLI_FLAG, NULL, "tell all: neither the built-in nor the program's own suppressions",
	  offsetof(struct options, no_suppressions) },
	{ "fail-on-leak", 0, CLI_FLAG, NULL, "exit 3 if there is a leak, 1 if that could not be found out",
	  offsetof(struct options, fail_on_leak) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

#define MAX_SUPPRESSION_BYTES ((size_t)1 << 20)

/* A snapshot as far as suspects want it. */
struct snapshot {
	struct profile *live, *alloc;
	uint64_t pid, start_ns, end_ns;
	bool requests_recorded;
	uint64_t requests; /* since the start */
};

struct work {
	struct options o;
	bool by_name;
	struct cmd_input in; /* the one whose leaks are told; its profile is not used */
	const char *path;
	struct profile *not_freed;
	struct snapshot *snapshots;
	size_t count;
	struct suppressions suppressions;
	struct err bad_lines;
	size_t bad_line_count;
	struct leaks *leaks;
	struct suspects *suspects;
	struct buf notes;
	struct view_leaks view;
};

/* ---- suppressions ------------------------------------------------------------------------------------------------- */

/* Not there, and no absolute path: beside the program's file, as LeakSanitizer looks for it. */
static int open_suppressions(const char *path, const char *exe)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *slash = strrchr(exe, '/');
	struct buf beside = { 0 };

	if (fd >= 0 || errno != ENOENT || path[0] == '/' || !slash)
		return fd >= 0 ? fd : -errno;
	buf_add(&beside, exe, (size_t)(slash - exe) + 1);
	buf_add_str(&beside, path);
	fd = beside.failed ? -ENOMEM : open(beside.data, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		fd = -errno;
	buf_done(&beside);
	return fd;
}

static int read_suppressions(struct suppressions *s, int fd, const char *path, struct err *err)
{
	char *text = malloc(MAX_SUPPRESSION_BYTES + 1);
	size_t len = 0;
	ssize_t n = 1;
	int rc = 0;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	while (n != 0 && rc == 0 && len <= MAX_SUPPRESSION_BYTES) {
		n = read(fd, text + len, MAX_SUPPRESSION_BYTES + 1 - len);
		if (n < 0 && errno != EINTR)
			rc = err_set(err, -EINVAL, "cannot read suppressions from %s: %s", path, strerror(errno));
		len += n > 0 ? (size_t)n : 0;
	}
	if (rc == 0 && len > MAX_SUPPRESSION_BYTES)
		rc = err_set(err, -EINVAL, "%s is larger than 1 MiB: no file of suppressions", path);
	if (rc == 0)
		rc = suppressions_add(s, text, len, path, NULL, err);
	free(text);
	return rc;
}

/* The option's value is wrong if its file cannot be used: -EINVAL. */
static int load_file(struct work *w, const char *path, struct err *err)
{
	int fd = open_suppressions(path, w->in.model->exe), rc;

	if (fd < 0)
		return err_set(err, fd == -ENOMEM ? fd : -EINVAL, "cannot open suppressions %s: %s", path,
		               strerror(-fd));
	rc = read_suppressions(&w->suppressions, fd, path, err);
	(void)close(fd); /* read only: nothing can be lost */
	return rc;
}

static int load_suppressions(struct work *w, struct err *err)
{
	const char *recorded = w->in.model->leaks.suppressions;
	int rc = 0;

	if (w->o.no_suppressions)
		return 0;
	rc = suppressions_add_built_in(&w->suppressions, err);
	if (rc == 0) /* an old mistake of the program's must not take its leaks from view */
		rc = suppressions_add(&w->suppressions, recorded, strlen(recorded), "the program", &w->bad_line_count,
		                      &w->bad_lines);
	for (size_t i = 0; i < w->o.suppressions.count && rc == 0; i++)
		rc = load_file(w, w->o.suppressions.items[i], err);
	if (rc == -ENOMEM)
		return err_set(err, rc, "out of memory");
	return rc;
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

/* 2 checked, 1 the check could not be done, 0 not checked. */
static int state_of(const struct model *m)
{
	return m->leaks.done ? 2 : m->leaks.recorded;
}

static int load_metric(struct work *w, const struct cmd_input *in, enum profile_metric metric, struct profile **ret,
                       struct err *err)
{
	struct profile *p = NULL;
	int rc = profile_build(in->model, in->symbols, metric, &p, err);

	if (rc == 0 && w->by_name) {
		rc = fold_names(p, true, ret, err);
		profile_free(p);
	} else if (rc == 0) {
		*ret = p;
	}
	return rc;
}

/* Keeps the input if its leaks are to be told; takes it over in any case. */
static void choose(struct work *w, struct cmd_input *in, const char *path, bool newer)
{
	bool better = !w->in.model || state_of(in->model) > state_of(w->in.model) ||
	              (newer && state_of(in->model) == state_of(w->in.model));

	if (better) {
		cmd_input_done(&w->in);
		w->in = *in;
		w->path = path;
	} else {
		cmd_input_done(in);
	}
}

static int load_one(struct work *w, const char *path, struct err *err)
{
	struct snapshot *s = &w->snapshots[w->count];
	struct cmd_input in = { .how = &w->o.symbols };
	int rc = cmd_load(path, &in, err);
	bool newer;

	if (rc == 0) {
		rc = load_metric(w, &in, METRIC_LIVE, &s->live, err);
		if (rc == 0)
			rc = load_metric(w, &in, METRIC_ALLOC, &s->alloc, err);
		if (rc < 0)
			rc = err_wrap(err, "%s", path);
	}
	w->count++; /* whatever was made is freed with the others */
	if (rc < 0) {
		cmd_input_done(&in);
		return rc;
	}
	s->pid = in.model->pid;
	s->start_ns = in.model->start_ns;
	s->end_ns = in.model->end_ns;
	s->requests_recorded = in.model->requests.recorded;
	s->requests = in.model->requests.count;
	newer = !w->in.model || w->in.model->pid != s->pid || w->in.model->start_ns != s->start_ns ||
	        s->end_ns >= w->in.model->end_ns;
	choose(w, &in, path, newer);
	return 0;
}

static int oldest_first(const void *left, const void *right)
{
	const struct snapshot *a = left, *b = right;

	return (a->end_ns > b->end_ns) - (a->end_ns < b->end_ns);
}

/* ---- finding ------------------------------------------------------------------------------------------------------ */

static bool one_process(const struct work *w)
{
	for (size_t i = 1; i < w->count; i++)
		if (w->snapshots[i].pid != w->snapshots[0].pid || w->snapshots[i].start_ns != w->snapshots[0].start_ns)
			return false;
	return true;
}

static uint64_t requests_between(const struct snapshot *first, const struct snapshot *last)
{
	return first->requests_recorded && last->requests_recorded && last->requests > first->requests
	               ? last->requests - first->requests
	               : 0;
}

static int find_suspects(struct work *w, struct err *err)
{
	struct suspects_input inputs[TREND_MAX_POINTS];
	struct suspects_options options = { .by_names = w->by_name };
	struct profile *leaked = NULL;
	size_t n = 0;
	int rc = 0;

	if (!one_process(w)) {
		w->view.suspects_note = "not looked for: the snapshots are of different processes";
		return 0;
	}
	qsort(w->snapshots, w->count, sizeof(*w->snapshots), oldest_first);
	for (size_t i = 0; i < w->count; i++) {
		struct snapshot *s = &w->snapshots[i];

		if (n == 0 || s->end_ns > inputs[n - 1].end_ns) /* one given twice counts once */
			inputs[n++] = (struct suspects_input){ s->live, s->alloc, s->end_ns };
	}
	w->view.snapshots = n;
	w->view.span_ns = inputs[n - 1].end_ns - inputs[0].end_ns;
	w->view.requests = requests_between(&w->snapshots[0], &w->snapshots[w->count - 1]);
	options.interval_bytes = w->in.model->heap_mode == SNAP_HEAP_SAMPLED ? w->in.model->heap_interval_bytes : 0;
	if (w->in.model->leaks.done)
		rc = load_metric(w, &w->in, METRIC_LEAKED, &leaked, err);
	options.leaked = leaked;
	if (rc == 0)
		rc = suspects_find(inputs, n, &options, &w->suspects, err);
	profile_free(leaked);
	return rc;
}

static int find_all(struct work *w, struct err *err)
{
	int rc = load_suppressions(w, err);

	if (rc == 0 && w->in.model->leaks.done)
		rc = leaks_build(w->in.model, w->in.symbols, &w->suppressions, w->by_name, &w->leaks, err);
	else if (rc == 0)
		rc = load_metric(w, &w->in, METRIC_LEAKED, &w->not_freed, err);
	if (rc == 0)
		rc = find_suspects(w, err);
	if (rc < 0)
		return rc;
	if (w->bad_line_count)
		buf_printf(&w->notes, "%zu %s of the program's own suppressions %s left out: %s", w->bad_line_count,
		           w->bad_line_count == 1 ? "line" : "lines", w->bad_line_count == 1 ? "is" : "are",
		           w->bad_lines.text);
	if (w->notes.failed)
		return err_set(err, -ENOMEM, "out of memory");
	w->view.m = w->in.model;
	w->view.path = w->path;
	w->view.leaks = w->leaks;
	w->view.not_freed = w->not_freed;
	w->view.suppressions = &w->suppressions;
	w->view.suppressions_note = w->notes.data ? w->notes.data : "";
	w->view.suspects = w->suspects;
	w->view.lost = w->snapshots[0].live->lost;
	w->view.top = w->o.top;
	w->view.full_frames = w->o.full_frames;
	return 0;
}

/* ---- formats ------------------------------------------------------------------------------------------------------ */

static int write_text(struct work *w, struct buf *out, struct err *err)
{
	struct view v = { out, cmd_may_colour(w->o.output) };
	int rc = view_misuse_line(&v, w->in.model, w->in.symbols, err);

	if (rc == 0)
		view_leaks_text(&v, &w->view);
	return rc;
}

static int write_json(struct work *w, struct buf *out, struct err *err)
{
	(void)err; /* no failure but memory, which the buffer keeps */
	view_leaks_json(out, &w->view);
	return 0;
}

static int write_sarif(struct work *w, struct buf *out, struct err *err)
{
	(void)err;
	export_sarif(out, &w->view);
	return 0;
}

/* What pictures show cannot say "not checked": they are of leaks only. */
static int profile_of_leaks(const struct work *w, struct profile **ret, struct err *err)
{
	if (!w->leaks)
		return err_set(
		        err, -ENODATA,
		        "%s was not checked for unreachable blocks%s%s (--metric leaked of flamegraph and export shows "
		        "what is not freed)",
		        w->path, w->in.model->leaks.note[0] ? ": " : "", w->in.model->leaks.note);
	return leaks_profile(w->leaks, w->in.model, ret, err);
}

static int write_folded(struct work *w, struct buf *out, struct err *err)
{
	const struct export_options options = { .tid = EXPORT_ALL_THREADS };
	struct profile *p = NULL;
	int rc = profile_of_leaks(w, &p, err);

	if (rc == 0)
		rc = export_folded(p, &options, out, err);
	profile_free(p);
	return rc;
}

static void draw(const struct work *w, const struct profile *p, const struct tree *t, const struct functions *functions,
                 struct buf *out)
{
	const struct flamegraph_input in = { t, functions, 1, p->metric, 0 };
	struct flamegraph_options look = { .min_width_px = 0.01 };
	struct buf title = { 0 }, subtitle = { 0 }, note = { 0 };
	const char *notes[1];
	char text[32];

	buf_printf(&title, "%s (pid %" PRIu64 "): %s", p->comm, p->pid, profile_text(p));
	buf_printf(&subtitle, "%s", units_print_bytes(text, sizeof(text), p->total));
	if (!p->lower_bound)
		buf_printf(&subtitle, " in %" PRIu64 " blocks",
		           profile_whole(w->leaks->direct.blocks + w->leaks->indirect.blocks));
	if (w->leaks->hidden_count)
		buf_printf(&note, "%zu suppressions hide some leaks.", w->leaks->hidden_count);
	look.title = title.data;
	look.subtitle = subtitle.data;
	notes[0] = note.data;
	look.notes = notes;
	look.note_count = note.data != NULL;
	if (title.failed || subtitle.failed || note.failed)
		out->failed = true;
	else
		flamegraph_write(&in, &look, out);
	buf_done(&title);
	buf_done(&subtitle);
	buf_done(&note);
}

static int write_flamegraph(struct work *w, struct buf *out, struct err *err)
{
	const struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = TREE_ALL_THREADS };
	struct functions functions = { 0 };
	struct profile *p = NULL;
	struct tree *t = NULL;
	int rc = profile_of_leaks(w, &p, err);

	if (rc == 0 && p->total == 0)
		rc = err_set(err, -ENODATA, "no leaks to draw in %s", w->path);
	if (rc == 0)
		rc = functions_build((const struct profile *const[]){ p }, 1, &functions, err);
	if (rc == 0)
		rc = tree_build(&(struct tree_input){ p, 1 }, 1, &functions, &options, &t, err);
	if (rc == 0)
		draw(w, p, t, &functions, out);
	tree_free(t);
	functions_done(&functions);
	profile_free(p);
	return rc;
}

/* One table of formats. Frames by name alone: lines would part what such formats do not show. */
static const struct format {
	const char *name;
	int (*write)(struct work *w, struct buf *out, struct err *err);
	bool by_name;
} formats[] = {
	{ "text", write_text, false },    { "json", write_json, true }, /* with --full-frames by line */
	{ "folded", write_folded, true }, { "flamegraph", write_flamegraph, false },
	{ "sarif", write_sarif, false },
};

static int find_format(struct work *w, const struct format **ret_format, struct err *err)
{
	const char *name = w->o.format ? w->o.format : w->o.json ? "json" : "text";

	if (w->o.json && strcmp(name, "json") != 0)
		return err_set(err, -EINVAL, "--json and --format %s exclude each other", name);
	if (w->o.no_suppressions && w->o.suppressions.count)
		return err_set(err, -EINVAL, "--suppressions and --no-suppressions exclude each other");
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (strcmp(formats[i].name, name) != 0)
			continue;
		*ret_format = &formats[i];
		w->by_name = formats[i].by_name && !w->o.full_frames;
		return 0;
	}
	return err_set(err, -EINVAL, "unknown format '%s'; there are text, json, folded, flamegraph and sarif", name);
}

/* After the report is written. A check that was not done must not look like one that found nothing. */
static int verdict(const struct work *w, struct err *err)
{
	if (!w->o.fail_on_leak)
		return 0;
	if (!w->leaks)
		return err_set(err, -ENODATA, "%s: cannot tell whether there are leaks: %s", w->path,
		               !w->in.model->leaks.recorded ? "it was not checked"
		               : w->in.model->leaks.note[0] ? w->in.model->leaks.note
		                                            : "the check could not be done");
	return w->leaks->told ? CLI_CHECK : 0;
}

static void work_done(struct work *w)
{
	for (size_t i = 0; i < w->count; i++) {
		profile_free(w->snapshots[i].live);
		profile_free(w->snapshots[i].alloc);
	}
	free(w->snapshots);
	profile_free(w->not_freed);
	leaks_free(w->leaks);
	suspects_free(w->suspects);
	suppressions_done(&w->suppressions);
	buf_done(&w->notes);
	cmd_input_done(&w->in);
}

static int run(int argc, char **argv, struct err *err)
{
	struct work w = { 0 };
	const struct format *format = NULL;
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_leaks, argc, argv, &w.o, &args, 1, TREND_MAX_POINTS, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = find_format(&w, &format, err);
	if (rc < 0)
		return rc;
	w.snapshots = calloc(args.count, sizeof(*w.snapshots));
	if (!w.snapshots)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < args.count && rc == 0; i++)
		rc = load_one(&w, args.items[i], err);
	if (rc == 0)
		rc = find_all(&w, err);
	if (rc == 0)
		rc = format->write(&w, &out, err);
	if (rc == 0)
		rc = cmd_output(w.o.output, &out, err);
	if (rc == 0)
		rc = verdict(&w, err);
	buf_done(&out);
	work_done(&w);
	return rc;
}

const struct cli_command cmd_leaks = {
	"leaks",
	run,
	option_table,
	"A [B...]",
	"unreachable blocks by stack, and what grows over several snapshots",
	"  probe-analyze leaks server.4711.0001.leaks.snap\n"
	"  probe-analyze leaks --suppressions known.supp --fail-on-leak server.4711.0001.exit.snap    in CI\n"
	"  probe-analyze leaks server.4711.*.interval.snap    what only grows\n",
};

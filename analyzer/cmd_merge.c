/* cmd_merge.c - A... to one snapshot. The files are looked at twice: first which of them count, then what they hold, one at a
 * time, so that memory depends on the largest and not on how many there are. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "json_write.h"
#include "merge.h"
#include "model.h"
#include "recordings.h"
#include "snapshot_encode.h"
#include "snapshot_read.h"
#include "view.h"

struct options {
	const char *output;
	bool json;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "the snapshot to write (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "json", 0, CLI_FLAG, NULL, "what was merged as JSON (with -o FILE)", offsetof(struct options, json) },
	CLI_END,
};

/* On standard error, where that is a terminal: long work shows that it goes on. */
struct progress {
	bool on;
	struct timespec last;
};

static void progress(struct progress *p, const char *what, uint64_t done, uint64_t of)
{
	struct timespec now;

	if (!p->on || clock_gettime(CLOCK_MONOTONIC_COARSE, &now) < 0)
		return;
	if (now.tv_sec == p->last.tv_sec && now.tv_nsec - p->last.tv_nsec < 200000000)
		return;
	p->last = now;
	fprintf(stderr, "\r\033[K%s %" PRIu64, what, done);
	if (of)
		fprintf(stderr, " of %" PRIu64, of);
	fflush(stderr);
}

static void progress_end(const struct progress *p)
{
	if (p->on)
		fprintf(stderr, "\r\033[K");
}

struct work {
	struct options o;
	struct progress progress;
	struct recordings found;
	struct merge *merge;
	uint64_t merged, late_unreadable; /* that could be read at first, and then not */
	struct err first_late;
};

static int find(struct work *w, const struct cli_args *args, struct err *err)
{
	for (size_t i = 0; i < args->count; i++) {
		int rc = recordings_add(&w->found, args->items[i], err);

		if (rc < 0)
			return rc;
		while (recordings_step(&w->found, &rc, err))
			progress(&w->progress, "looking at files:", w->found.files, 0);
		if (rc < 0)
			return rc;
	}
	recordings_sort(&w->found);
	if (w->found.count == 0 && w->found.unreadable)
		return err_set(err, -ENODATA, "none of %" PRIu64 " files could be read; the first: %s", w->found.files,
		               w->found.first_unreadable.text);
	if (w->found.count == 0)
		return err_set(err, -ENODATA, "no .snap and no .live there");
	return 0;
}

/* A file that does not go with the others ends it: half of what was named is no answer. One that is damaged, or gone by now, is
 * counted. */
static int add_one(struct work *w, const struct recording *r, struct err *err)
{
	struct err why = { 0 };
	struct model *m = NULL;
	int rc = snapshot_open(r->path, &m, &why);

	if (rc == -ENOMEM)
		return err_set(err, rc, "%s", why.text);
	if (rc < 0) {
		if (!w->late_unreadable++)
			w->first_late = why;
		return 0;
	}
	rc = merge_add(w->merge, m, err);
	model_free(m);
	w->merged += rc == 0;
	return rc < 0 ? err_wrap(err, "%s", r->path) : 0;
}

static int add_all(struct work *w, struct err *err)
{
	const struct merge_about about = { .recordings = w->found.count,
		                           .files = w->found.files,
		                           .unreadable = w->found.unreadable };
	int rc = merge_new(&merge_default_limits, &about, &w->merge, err);

	for (size_t i = 0; i < w->found.count && rc == 0; i++) {
		progress(&w->progress, "merging:", i + 1, w->found.count);
		rc = add_one(w, &w->found.items[i], err);
	}
	if (rc == 0 && w->merged == 0)
		rc = err_set(err, -ENODATA, "%s", w->first_late.text);
	return rc;
}

/* ---- what was done ---- */

static uint64_t earlier(const struct recordings *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += r->items[i].files - 1;
	return n;
}

static const char *first_reason(const struct work *w)
{
	return w->found.unreadable ? w->found.first_unreadable.text : w->first_late.text;
}

static void say_text(const struct work *w, const struct model *m, struct buf *out)
{
	const struct view v = { out, cmd_may_colour(NULL) };
	const struct recordings *r = &w->found;
	uint64_t unreadable = r->unreadable + w->late_unreadable;
	struct buf values = { 0 };
	const char *name;

	view_losses(&v, m);
	buf_printf(out, "merged %" PRIu64 " recording%s, %" PRIu64 " file%s looked at, into ", w->merged,
	           w->merged == 1 ? "" : "s", r->files, r->files == 1 ? "" : "s");
	view_text(&v, VIEW_BOLD, w->o.output);
	buf_add_char(out, '\n');
	if (earlier(r))
		buf_printf(out,
		           "%" PRIu64
		           " earlier snapshot%s of the same recordings left out: the last of each holds what they do\n",
		           earlier(r), earlier(r) == 1 ? "" : "s");
	if (r->merged)
		buf_printf(out, "%" PRIu64 " merged already, left out: name the file to take it\n", r->merged);
	if (unreadable) {
		buf_printf(out, "%" PRIu64 " could not be read, and %s left out; the first: ", unreadable,
		           unreadable == 1 ? "is" : "are");
		view_text(&v, VIEW_BAD, first_reason(w));
		buf_add_char(out, '\n');
	}
	for (size_t i = 0; (name = merge_differing_option(w->merge, i, &values)); i++) {
		buf_add_str(out, i ? ", " : "options that differ: ");
		view_text(&v, VIEW_PLAIN, name);
		buf_add_char(out, '=');
		view_text(&v, VIEW_PLAIN, values.data ? values.data : "");
		buf_clear(&values);
	}
	if (out->len && out->data[out->len - 1] != '\n')
		buf_add_char(out, '\n');
	buf_done(&values);
}

static void say_json(const struct work *w, const struct model *m, struct buf *out)
{
	const struct recordings *r = &w->found;
	struct buf values = { 0 };
	struct json j;
	const char *name;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "output", w->o.output);
	json_key_u64(&j, "recordings", w->merged);
	json_key_u64(&j, "files", r->files);
	json_key_u64(&j, "earlier", earlier(r));
	json_key_u64(&j, "merged_already", r->merged);
	json_key_u64(&j, "unreadable", r->unreadable + w->late_unreadable);
	json_key_string(&j, "first_unreadable", first_reason(w));
	json_key(&j, "options_that_differ");
	json_object_begin(&j);
	for (size_t i = 0; (name = merge_differing_option(w->merge, i, &values)); i++) {
		json_key_string(&j, name, values.data ? values.data : "");
		buf_clear(&values);
	}
	json_object_end(&j);
	json_key(&j, "lost");
	json_object_begin(&j);
	for (size_t i = 0; i < m->loss_count; i++)
		json_key_u64(&j, m->losses[i].name, m->losses[i].count);
	json_object_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
	buf_done(&values);
}

static int write_result(struct work *w, struct err *err)
{
	bool to_file = w->o.output && w->o.output[0] && (w->o.output[0] != '-' || w->o.output[1]);
	struct buf bytes = { 0 }, text = { 0 };
	struct model *m = NULL;
	int rc = merge_finish(w->merge, w->found.unreadable + w->late_unreadable, &m, err);

	if (rc == 0)
		rc = snapshot_encode(m, &bytes, err);
	progress_end(&w->progress);
	if (rc == 0)
		rc = cmd_output(w->o.output, &bytes, err);
	if (rc == 0 && to_file) {
		if (w->o.json)
			say_json(w, m, &text);
		else
			say_text(w, m, &text);
		rc = cmd_output(NULL, &text, err);
	}
	model_free(m);
	buf_done(&bytes);
	buf_done(&text);
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct work w = { .progress = { .on = isatty(STDERR_FILENO) } };
	struct cli_args args;
	int rc = cmd_parse(&cmd_merge, argc, argv, &w.o, &args, 1, SIZE_MAX, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (!w.o.output && isatty(STDOUT_FILENO))
		return err_set(err, -EINVAL, "merge writes a snapshot, which is no text: say where with -o FILE");
	if (w.o.json && !w.o.output)
		return err_set(err, -EINVAL, "--json tells what was merged, and needs -o FILE for the snapshot itself");
	recordings_init(&w.found, w.o.output);
	rc = find(&w, &args, err);
	if (rc == 0)
		rc = add_all(&w, err);
	if (rc == 0)
		rc = write_result(&w, err);
	else
		progress_end(&w.progress);
	merge_free(w.merge);
	recordings_done(&w.found);
	return rc;
}

const struct cli_command cmd_merge = {
	"merge",
	run,
	option_table,
	"A...",
	"one profile from many: files, and directories of .snap and .live",
	"  probe-analyze merge /var/tmp/profiles -o all.snap\n"
	"  probe-analyze merge worker.*.snap -o workers.snap\n",
};

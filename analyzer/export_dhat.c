/*
 * export_dhat.c - the file of valgrind's DHAT, version 2: what each stack allocated, and had at the peak and at the end.
 *
 * Times are microseconds since recording began. Of what DHAT tells of a stack two things were not measured as it does:
 * - "Max" (mb, mbk), the stack's own highest: the larger of what it had at the peak and at the end. It may have been more.
 * - Lifetimes (tl): known of freed blocks, by ranges, and only where blocks are followed; the lower ends are taken, so that they
 *   are at least so long. 0 where nothing is known.
 * Both are said in "cmd", which the viewer shows, and so is what was lost. Stacks are leaf first; frame 0 is the root.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "export_parts.h"
#include "join.h"
#include "json_write.h"
#include "model.h"
#include "profile.h"
#include "units.h"
#include "view_heap.h"

struct writer {
	struct json json;
	const struct profile *p;
	const struct export_options *o;
	struct join join;
	struct buf scratch, text;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lifetimes_us(const struct profile_heap *h)
{
	double ns = 0;

	for (unsigned i = 1; h && i < SNAP_LIFETIMES; i++)
		ns += h->lifetime[i] * (double)lifetime_end_ns(i - 1);
	ns /= (double)NS_PER_US;
	return ns >= 0x1p63 ? INT64_MAX : (uint64_t)ns; /* counts of up to 63 bits, times a lifetime */
}

static void write_stack(struct writer *w, const struct join_stack *s)
{
	struct json *j = &w->json;
	uint64_t at_peak = s->value[EXPORT_PEAK], at_end = s->value[EXPORT_LIVE];

	json_object_begin(j);
	json_key_u64(j, "tb", s->value[EXPORT_ALLOC]);
	json_key_u64(j, "tbk", s->value[EXPORT_ALLOC_COUNT]);
	json_key_u64(j, "tl", lifetimes_us(s->heap));
	json_key_u64(j, "mb", larger(at_peak, at_end));
	json_key_u64(j, "mbk", larger(s->count[EXPORT_PEAK], s->value[EXPORT_LIVE_COUNT]));
	json_key_u64(j, "gb", at_peak);
	json_key_u64(j, "gbk", s->count[EXPORT_PEAK]);
	json_key_u64(j, "eb", at_end);
	json_key_u64(j, "ebk", s->value[EXPORT_LIVE_COUNT]);
	json_key(j, "fs");
	json_array_begin(j);
	for (uint32_t i = 0; i < s->depth; i++)
		json_u64(j, s->frames[i] + 1u);
	if (s->depth == 0)
		json_u64(j, w->join.frame_count + 1); /* "[unknown]" */
	json_array_end(j);
	json_object_end(j);
	buf_pour(j->out);
}

/* "0x1f3c: parse (parser.c:41)", the form that valgrind writes and readers take apart. */
static void write_frame(struct writer *w, const struct profile_frame *f)
{
	buf_clear(&w->text);
	buf_printf(&w->text, "0x%llx: ", (unsigned long long)f->offset);
	export_line_name(&w->text, f->function);
	if (f->file && f->line) {
		buf_add_str(&w->text, " (");
		clean_text(&w->text, f->file);
		buf_printf(&w->text, ":%u)", f->line);
	} else if (f->module[0]) {
		buf_add_str(&w->text, " (in ");
		clean_text(&w->text, f->module);
		buf_add_char(&w->text, ')');
	}
	json_string(&w->json, w->text.data ? w->text.data : "");
	buf_pour(w->json.out);
}

static void write_command(struct writer *w)
{
	buf_clear(&w->text);
	clean_text(&w->text, w->p->cmdline);
	buf_add_str(&w->text,
	            "  [perfprobe " PERFPROBE_VERSION
	            ": Max is the larger of t-gmax and t-end; lifetimes are lower bounds, of freed blocks; lost: ");
	export_losses(&w->text, w->p);
	buf_add_char(&w->text, ']');
	json_key_string(&w->json, "cmd", w->text.data ? w->text.data : "");
}

static void write_head(struct writer *w)
{
	const struct model *m = w->o->model;
	const struct profile *p = w->p;
	struct json *j = &w->json;
	uint64_t end = p->end_ns > p->start_ns ? p->end_ns - p->start_ns : 1, peak = end;

	if (m && m->heap_peak_ns >= p->start_ns && m->heap_peak_ns - p->start_ns < end)
		peak = m->heap_peak_ns - p->start_ns;
	json_key_u64(j, "dhatFileVersion", 2);
	json_key_string(j, "mode", "heap");
	json_key_string(j, "verb", "Allocated");
	json_key_bool(j, "bklt", true);   /* peak and end are there only with lifetimes */
	json_key_bool(j, "bkacc", false); /* accesses were not recorded */
	json_key_string(j, "tu", "us");
	json_key_string(j, "Mtu", "s");
	json_key_u64(j, "tuth", 500);
	write_command(w);
	json_key_u64(j, "pid", p->pid);
	json_key_u64(j, "te", end / NS_PER_US + 1);
	json_key_u64(j, "tg", peak / NS_PER_US);
	export_key_losses(j, &w->scratch, p); /* readers leave out what they do not know */
}

static void write_all(struct writer *w)
{
	static const struct profile_frame unknown = { "[unknown]", "", NULL, 0, 0, false };
	struct json *j = &w->json;

	json_object_begin(j);
	write_head(w);
	json_key(j, "pps");
	json_array_begin(j);
	for (size_t i = 0; i < w->join.stack_count; i++)
		write_stack(w, &w->join.stacks[i]);
	json_array_end(j);
	json_key(j, "ftbl");
	json_array_begin(j);
	json_string(j, "[root]");
	for (size_t i = 0; i < w->join.frame_count; i++)
		write_frame(w, &w->join.frames[i]);
	write_frame(w, &unknown);
	json_array_end(j);
	json_object_end(j);
}

int export_dhat(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct writer w = { .p = p, .o = o };
	const struct profile *profiles[EXPORT_MEMORY_COUNT];
	int rc;

	if (!export_is_of_memory(p))
		return err_set(
		        err, -EINVAL,
		        "a DHAT file holds what was allocated, live at the peak and at the end, not %s: leave --metric "
		        "out, or use --format speedscope, pprof or folded",
		        profile_text(p));
	for (size_t i = 0; i < EXPORT_MEMORY_COUNT; i++)
		profiles[i] = o->memory[i] ? o->memory[i] : p;
	rc = export_check_thread(p, o->tid, err);
	if (rc == 0)
		rc = join_build(profiles, EXPORT_MEMORY_COUNT, &w.join, err);
	if (rc < 0)
		return rc;
	json_init(&w.json, out);
	write_all(&w);
	buf_add_char(out, '\n');
	out->failed |= w.scratch.failed | w.text.failed;
	buf_done(&w.scratch);
	buf_done(&w.text);
	join_done(&w.join);
	return 0;
}

/*
 * export_speedscope.c - speedscope's own file format (file-format-schema.json): "sampled" profiles.
 *
 * Profile 0 is all threads together; with more than one thread, one profile for each follows. Frames are functions, not
 * call sites: speedscope takes each index for a function of its own, and would split one by line. Samples are root first.
 * In "time order" the window's samples stand at the end, in order; older ones, whose times were not kept, before them.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>

#include "clean_text.h"
#include "export_samples.h"
#include "functions.h"
#include "json_write.h"
#include "profile.h"

struct writer {
	struct json json;
	const struct profile *p;
	const struct functions *functions;
	struct buf scratch;
	uint64_t scale; /* of weights: nanoseconds a sample, or 1 */
	const char *unit;
};

static void write_text(struct writer *w, const char *key, const char *text)
{
	buf_clear(&w->scratch);
	clean_text(&w->scratch, text);
	json_key_string(&w->json, key, w->scratch.len ? w->scratch.data : "");
}

static void write_frames(struct writer *w)
{
	json_key(&w->json, "shared");
	json_object_begin(&w->json);
	json_key(&w->json, "frames");
	json_array_begin(&w->json);
	for (size_t i = 0; i < w->functions->count; i++) {
		const struct function *f = &w->functions->items[i];

		json_object_begin(&w->json);
		write_text(w, "name", f->name);
		if (f->file || f->module[0])
			write_text(w, "file", f->file ? f->file : f->module);
		if (f->file && f->line)
			json_key_u64(&w->json, "line", f->line);
		json_object_end(&w->json);
	}
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_stack(struct writer *w, const struct profile_stack *stack)
{
	json_array_begin(&w->json);
	for (uint32_t i = stack->depth; i-- > 0;)
		json_u64(&w->json, w->functions->of_frame[0][stack->frames[i]]);
	if (stack->depth == 0)
		json_u64(&w->json, w->functions->unknown);
	json_array_end(&w->json);
}

static bool is_continued(const struct export_samples *s, size_t i)
{
	return i + 1 < s->count && s->items[i + 1].stack == s->items[i].stack;
}

static int write_profile(struct writer *w, const char *name, uint64_t tid)
{
	struct export_samples s;
	uint64_t weight = 0;
	int rc = export_samples_get(w->p, tid, &s);

	if (rc < 0)
		return rc;
	json_object_begin(&w->json);
	json_key_string(&w->json, "type", "sampled");
	write_text(w, "name", name);
	json_key_string(&w->json, "unit", w->unit);
	json_key_u64(&w->json, "startValue", 0);
	json_key_u64(&w->json, "endValue", s.total * w->scale);
	json_key(&w->json, "samples");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s.count; i++)
		if (!is_continued(&s, i)) /* a run of one stack is written once, with the sum as its weight */
			write_stack(w, &w->p->stacks[s.items[i].stack]);
	json_array_end(&w->json);
	json_key(&w->json, "weights");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s.count; i++) {
		weight += s.items[i].weight * w->scale;
		if (is_continued(&s, i))
			continue;
		json_u64(&w->json, weight);
		weight = 0;
	}
	json_array_end(&w->json);
	json_object_end(&w->json);
	export_samples_done(&s);
	return 0;
}

/* Does thread i come first with its tid, and has it samples? */
static bool is_listed(const struct profile *p, size_t thread)
{
	for (size_t i = 0; i < thread; i++)
		if (p->threads[i].tid == p->threads[thread].tid)
			return false;
	for (size_t i = 0; i < p->stack_count; i++)
		if (export_has_tid(p, p->stacks[i].thread, p->threads[thread].tid))
			return true;
	return false;
}

static int write_thread(struct writer *w, size_t thread)
{
	struct buf name = { 0 };
	int rc;

	buf_printf(&name, "%s (tid %llu)", w->p->threads[thread].name, (unsigned long long)w->p->threads[thread].tid);
	rc = write_profile(w, name.data ? name.data : "", w->p->threads[thread].tid);
	buf_done(&name);
	return rc;
}

static int write_profiles(struct writer *w, uint64_t tid)
{
	size_t listed = 0, last = 0;
	struct buf name = { 0 };
	int rc = 0;

	for (size_t i = 0; w->p->period_ns && i < w->p->thread_count; i++) {
		if ((tid == EXPORT_ALL_THREADS || w->p->threads[i].tid == tid) && is_listed(w->p, i)) {
			listed++;
			last = i;
		}
	}
	json_key(&w->json, "profiles");
	json_array_begin(&w->json);
	if (listed == 1) {
		rc = write_thread(w, last);
	} else {
		buf_printf(&name, "%s: %s%s", w->p->comm ? w->p->comm : "", profile_text(w->p),
		           listed > 1 ? ", all threads" : "");
		rc = write_profile(w, name.data ? name.data : "", tid);
	}
	for (size_t i = 0; rc == 0 && listed > 1 && i < w->p->thread_count; i++)
		if (is_listed(w->p, i))
			rc = write_thread(w, i);
	json_array_end(&w->json);
	buf_done(&name);
	return rc;
}

static const char *unit_of(const struct profile *p)
{
	if (p->period_ns)
		return "nanoseconds";
	return profile_metric_unit(p->metric)[0] == 'b' ? "bytes" : "none";
}

int export_speedscope(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct functions functions;
	struct writer w = {
		.p = p, .functions = &functions, .scale = p->period_ns ? p->period_ns : 1, .unit = unit_of(p)
	};
	struct buf name = { 0 };
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc < 0)
		return rc;
	json_init(&w.json, out);
	json_object_begin(&w.json);
	json_key_string(&w.json, "$schema", "https://www.speedscope.app/file-format-schema.json");
	buf_printf(&name, "%s, pid %llu: %s", p->comm ? p->comm : "", (unsigned long long)p->pid, profile_text(p));
	write_text(&w, "name", name.data ? name.data : "");
	json_key_string(&w.json, "exporter", "perfprobe@" PERFPROBE_VERSION);
	json_key_u64(&w.json, "activeProfileIndex", 0);
	write_frames(&w);
	rc = write_profiles(&w, o->tid);
	json_object_end(&w.json);
	buf_add_char(out, '\n');
	if (w.scratch.failed || name.failed)
		out->failed = true;
	buf_done(&w.scratch);
	buf_done(&name);
	functions_done(&functions);
	return rc < 0 ? err_set(err, rc, "out of memory for the samples") : 0;
}

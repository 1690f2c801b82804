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

#include "export_parts.h"
#include "export_samples.h"
#include "export_threads.h"
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

static void write_frames(struct writer *w)
{
	json_key(&w->json, "shared");
	json_object_begin(&w->json);
	json_key(&w->json, "frames");
	json_array_begin(&w->json);
	for (size_t i = 0; i < w->functions->count; i++) {
		const struct function *f = &w->functions->items[i];

		buf_pour(w->json.out);
		json_object_begin(&w->json);
		export_key_text(&w->json, &w->scratch, "name", f->name);
		if (export_place(f)[0])
			export_key_text(&w->json, &w->scratch, "file", export_place(f));
		if (f->file && f->line)
			json_key_u64(&w->json, "line", f->line);
		json_object_end(&w->json);
	}
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_stack(struct writer *w, const struct profile_stack *stack)
{
	buf_pour(w->json.out);
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

static void write_profile(struct writer *w, const char *name, const struct export_samples *s)
{
	uint64_t weight = 0;

	json_object_begin(&w->json);
	json_key_string(&w->json, "type", "sampled");
	export_key_text(&w->json, &w->scratch, "name", name);
	json_key_string(&w->json, "unit", w->unit);
	json_key_u64(&w->json, "startValue", 0);
	json_key_u64(&w->json, "endValue", s->total * w->scale);
	json_key(&w->json, "samples");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s->count; i++)
		if (!is_continued(s, i)) /* a run of one stack is written once, with the sum as its weight */
			write_stack(w, &w->p->stacks[s->items[i].stack]);
	json_array_end(&w->json);
	json_key(&w->json, "weights");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s->count; i++) {
		weight += s->items[i].weight * w->scale;
		if (is_continued(s, i))
			continue;
		json_u64(&w->json, weight);
		weight = 0;
		buf_pour(w->json.out);
	}
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_thread(struct writer *w, const struct export_thread *t)
{
	struct buf name = { 0 };

	buf_printf(&name, "%s (tid %llu)", t->name, (unsigned long long)t->tid);
	write_profile(w, name.data ? name.data : "", &t->samples);
	w->scratch.failed |= name.failed;
	buf_done(&name);
}

static int write_all_threads(struct writer *w, uint64_t tid, size_t threads)
{
	struct export_samples all;
	struct buf name = { 0 };
	int rc = export_samples_get(w->p, tid, &all);

	if (rc < 0)
		return rc;
	buf_printf(&name, "%s: %s%s", w->p->comm, profile_text(w->p), threads > 1 ? ", all threads" : "");
	write_profile(w, name.data ? name.data : "", &all);
	w->scratch.failed |= name.failed;
	buf_done(&name);
	export_samples_done(&all);
	return 0;
}

static int write_profiles(struct writer *w, uint64_t tid)
{
	struct export_threads threads;
	int rc = export_threads_get(w->p, tid, &threads);

	if (rc < 0)
		return rc;
	json_key(&w->json, "profiles");
	json_array_begin(&w->json);
	if (threads.count != 1 || w->p->period_ns == 0)
		rc = write_all_threads(w, tid, threads.count);
	for (size_t i = 0; rc == 0 && w->p->period_ns && i < threads.count; i++)
		write_thread(w, &threads.items[i]);
	json_array_end(&w->json);
	export_threads_done(&threads);
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
	export_title(&name, p);
	export_key_text(&w.json, &w.scratch, "name", name.data ? name.data : "");
	json_key_string(&w.json, "exporter", "perfprobe@" PERFPROBE_VERSION);
	json_key_u64(&w.json, "activeProfileIndex", 0);
	write_frames(&w);
	rc = write_profiles(&w, o->tid);
	export_key_losses(&w.json, &w.scratch, p); /* readers leave out what they do not know */
	json_object_end(&w.json);
	buf_add_char(out, '\n');
	if (w.scratch.failed || name.failed)
		out->failed = true;
	buf_done(&w.scratch);
	buf_done(&name);
	functions_done(&functions);
	return rc < 0 ? err_set(err, rc, "out of memory for the samples") : 0;
}

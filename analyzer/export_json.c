/*
 * export_json.c - DESIGN.md 2.3's "report" shape: {"metric","unit","period_ns","total","stacks":[...]}, largest first.
 *
 * By default a stack is its function names, and stacks that differ in lines or addresses only are one (per thread). With
 * full frames they stay apart. `report --json` is this function.
 */
#include "export.h"

#include <errno.h>

#include "clean_text.h"
#include "export_samples.h"
#include "fold.h"
#include "json_write.h"
#include "profile.h"

static void write_frame(struct json *j, const struct profile_frame *f, bool full)
{
	if (!full) {
		json_string(j, f->function);
		return;
	}
	json_object_begin(j);
	json_key_string(j, "function", f->function);
	json_key_string(j, "file", f->file);
	json_key_u64(j, "line", f->line);
	json_key_string(j, "module", f->module);
	json_key_u64(j, "offset", f->offset);
	json_key_bool(j, "inlined", f->inlined);
	json_object_end(j);
}

static void write_stack(struct json *j, const struct profile *p, const struct profile_stack *stack, bool full)
{
	json_object_begin(j);
	json_key_u64(j, "value", stack->value);
	json_key_u64(j, "count", stack->count);
	json_key(j, "thread");
	if (stack->thread < p->thread_count)
		json_u64(j, p->threads[stack->thread].tid);
	else
		json_null(j);
	json_key(j, "frames");
	json_array_begin(j);
	for (uint32_t i = 0; i < stack->depth; i++)
		write_frame(j, &p->frames[stack->frames[i]], full);
	json_array_end(j);
	json_object_end(j);
}

static void write_profile(const struct profile *p, const struct export_options *o, struct buf *out)
{
	uint64_t listed = 0, total = 0;
	struct json j;

	for (size_t i = 0; i < p->stack_count; i++)
		if (export_has_tid(p, p->stacks[i].thread, o->tid))
			total += p->stacks[i].value;
	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "metric", profile_metric_name(p->metric));
	json_key_string(&j, "unit", profile_metric_unit(p->metric));
	json_key_u64(&j, "period_ns", p->period_ns);
	json_key_u64(&j, "total", total);
	json_key_u64(&j, "lost", p->lost);
	json_key(&j, "stacks");
	json_array_begin(&j);
	for (size_t i = 0; i < p->stack_count && (o->top == 0 || listed < o->top); i++) {
		if (!export_has_tid(p, p->stacks[i].thread, o->tid))
			continue;
		write_stack(&j, p, &p->stacks[i], o->full_frames);
		listed++;
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

int export_json(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct profile *folded = NULL;
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0 && !o->full_frames)
		rc = fold_names(p, false, &folded, err);
	if (rc < 0)
		return rc;
	write_profile(folded ? folded : p, o, out);
	profile_free(folded);
	return 0;
}

#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "units.h"
#include "view_heap.h"

/* ECMA-48 "select graphic rendition". */
void view_style(const struct view *v, enum view_style style)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[31m" };

	if (v->colour)
		buf_add_str(v->out, codes[style]);
}

/* C0, DEL and the UTF-8 forms of C1 and of the bidirectional overrides; what else is not UTF-8 a terminal shows itself. */
static void add_clean(struct buf *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; s[i]; i++) {
		if (s[i] < 0x20 || s[i] == 0x7f) {
			buf_add_char(out, '?');
		} else if (s[i] == 0xc2 && s[i + 1] >= 0x80 && s[i + 1] < 0xa0) {
			buf_add_char(out, '?');
			i++;
		} else if (s[i] == 0xe2 && ((s[i + 1] == 0x80 && s[i + 2] >= 0xaa && s[i + 2] <= 0xae) ||
		                            (s[i + 1] == 0x81 && s[i + 2] >= 0xa6 && s[i + 2] <= 0xa9))) {
			buf_add_char(out, '?');
			i += 2;
		} else {
			buf_add_char(out, (char)s[i]);
		}
	}
}

void view_text(const struct view *v, enum view_style style, const char *text)
{
	if (style != VIEW_PLAIN)
		view_style(v, style);
	add_clean(v->out, text);
	if (style != VIEW_PLAIN)
		view_style(v, VIEW_PLAIN);
}

void view_count(const struct view *v, uint64_t count)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			buf_add_char(v->out, ',');
		buf_add_char(v->out, digits[i]);
	}
}

void view_value(const struct view *v, enum profile_metric metric, uint64_t period_ns, uint64_t value)
{
	const char *unit = profile_metric_unit(metric);
	char text[32];

	if (strcmp(unit, "bytes") == 0) {
		buf_add_str(v->out, units_print_bytes(text, sizeof(text), value));
	} else if (period_ns && value <= UINT64_MAX / period_ns) {
		buf_add_str(v->out, units_print_duration(text, sizeof(text), value * period_ns));
	} else {
		view_count(v, value);
	}
}

void view_delta(const struct view *v, enum profile_metric metric, uint64_t period_ns, int64_t delta)
{
	buf_add_char(v->out, delta < 0 ? '-' : '+');
	view_value(v, metric, period_ns, delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta);
}

void view_percent(const struct view *v, uint64_t part, uint64_t whole)
{
	buf_printf(v->out, "%5.1f %%", whole ? 100.0 * (double)part / (double)whole : 0.0);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void add_module(const struct view *v, const struct profile_frame *f)
{
	if (!f->module[0])
		return;
	view_style(v, VIEW_DIM);
	buf_add_str(v->out, "  (");
	add_clean(v->out, base_name(f->module));
	buf_add_str(v->out, ")");
	view_style(v, VIEW_PLAIN);
}

void view_function(const struct view *v, const struct profile_frame *f)
{
	view_text(v, VIEW_BOLD, f->function);
	add_module(v, f);
}

void view_frame(const struct view *v, const struct profile_frame *f)
{
	view_text(v, VIEW_PLAIN, f->function);
	if (f->inlined)
		view_text(v, VIEW_DIM, " (inlined)");
	if (f->file && f->line) {
		char line[16];

		(void)snprintf(line, sizeof(line), ":%u", f->line);
		view_style(v, VIEW_DIM);
		buf_add_str(v->out, "  ");
		add_clean(v->out, base_name(f->file));
		buf_add_str(v->out, line);
		view_style(v, VIEW_PLAIN);
	} else {
		add_module(v, f);
	}
}

void view_stack(const struct view *v, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                unsigned indent, uint32_t most)
{
	/* One line more costs no more than saying that one is left out. */
	uint32_t shown = most && depth > most + 1 ? most : depth;

	for (uint32_t i = 0; i < shown; i++) {
		buf_printf(v->out, "%*s", (int)indent, "");
		view_frame(v, &frames[list[i]]);
		buf_add_char(v->out, '\n');
	}
	if (shown < depth)
		buf_printf(v->out, "%*s... %u more, out to the thread's start\n", (int)indent, "", depth - shown);
}

void view_losses(const struct view *v, const struct model *m)
{
	size_t told = 0;

	for (size_t i = 0; i < m->loss_count; i++) {
		if (m->losses[i].count == 0)
			continue;
		if (told++ == 0)
			view_style(v, VIEW_BAD);
		buf_add_str(v->out, told == 1 ? "lost: " : ", ");
		view_count(v, m->losses[i].count);
		buf_add_char(v->out, ' ');
		add_clean(v->out, m->losses[i].name);
	}
	if (told) {
		view_style(v, VIEW_PLAIN);
		buf_add_char(v->out, '\n');
	}
}

void view_json_frames(struct json *j, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                      bool full)
{
	json_array_begin(j);
	for (uint32_t i = 0; i < depth; i++) {
		const struct profile_frame *f = &frames[list[i]];

		if (!full) {
			json_string(j, f->function);
			continue;
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
	json_array_end(j);
}

void view_json_profile(struct json *j, const struct profile *p, uint64_t top, bool full)
{
	json_object_begin(j);
	json_key_string(j, "metric", profile_metric_name(p->metric));
	json_key_string(j, "unit", profile_metric_unit(p->metric));
	json_key_u64(j, "period_ns", p->period_ns);
	json_key_u64(j, "total", p->total);
	json_key_u64(j, "lost", p->lost);
	json_key(j, "losses");
	json_object_begin(j);
	for (size_t i = 0; i < p->loss_count; i++)
		json_key_u64(j, p->losses[i].name, p->losses[i].count);
	json_object_end(j);
	if (p->metric == METRIC_LEAKED)
		json_key_bool(j, "reachability_checked", p->checked);
	json_key(j, "stacks");
	json_array_begin(j);
	for (size_t i = 0; i < p->stack_count && (top == 0 || i < top); i++) {
		const struct profile_stack *s = &p->stacks[i];

		json_object_begin(j);
		json_key_u64(j, "value", s->value);
		json_key_u64(j, "count", s->count);
		json_key(j, "thread");
		if (s->thread < p->thread_count)
			json_u64(j, p->threads[s->thread].tid);
		else
			json_null(j);
		if (s->heap)
			view_heap_json(j, p, s->heap);
		json_key(j, "frames");
		view_json_frames(j, p->frames, s->frames, s->depth, full);
		json_object_end(j);
		buf_pour(j->out);
	}
	json_array_end(j);
	json_object_end(j);
}

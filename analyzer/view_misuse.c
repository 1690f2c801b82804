#include "view_misuse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "symbolize.h"

enum { TEXT_FRAMES = 12 };

static const char *const allocated_by[] = {
#define NAME(value, name, alloc, freed) alloc,
	SNAP_FAMILIES(NAME)
#undef NAME
};
static const char *const freed_by[] = {
#define NAME(value, name, alloc, freed) freed,
	SNAP_FAMILIES(NAME)
#undef NAME
};
static const char *const kinds[SNAP_MISUSE_COUNT] = { "mismatch", "double-free", "no-block" };
static const char *const kind_texts[SNAP_MISUSE_COUNT] = { "freed by the wrong function", "freed twice",
	                                                   "freed and no block" };
static const char *const no_block[SNAP_NO_BLOCK_COUNT] = { "unknown", "stack", "static", "inside", "unmapped" };
static const char *const no_block_texts[SNAP_NO_BLOCK_COUNT] = { "never allocated, or freed long before",
	                                                         "it is on the thread's stack", "it is a static object",
	                                                         "it points behind the start of a block",
	                                                         "there is no memory" };

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

/* Calls `each` for every frame of the stack, innermost first; stops at a result that is not 0. */
static int each_frame(const struct model *m, struct symbolizer *symbols, uint32_t stack,
                      int (*each)(const struct symbol_frame *f, void *context), void *context)
{
	for (uint32_t id = stack; id; id = m->nodes[id - 1].parent) {
		const struct symbol_frame *frames;
		size_t n;
		int rc = symbolizer_frames(symbols, m->nodes[id - 1].pc, &frames, &n);

		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = each(&frames[i], context);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int take_first(const struct symbol_frame *f, void *context)
{
	*(const char **)context = f->function;
	return 1;
}

/* The family that the innermost function says, or `recorded`. */
static int family_of(const struct model *m, struct symbolizer *symbols, uint32_t stack, enum snap_family recorded,
                     const char *operator_name, enum snap_family *ret_family)
{
	const char *function = "";
	size_t len = strlen(operator_name);
	int rc = 0;

	*ret_family = recorded;
	if (recorded == SNAP_FAMILY_MALLOC)
		rc = each_frame(m, symbols, stack, take_first, &function);
	if (rc < 0 || strncmp(function, operator_name, len) != 0)
		return rc < 0 ? rc : 0;
	*ret_family = strncmp(function + len, "[]", 2) == 0 ? SNAP_FAMILY_NEW_ARRAY : SNAP_FAMILY_NEW;
	return 0;
}

/* 1: the row is to be shown; 0: it is explained. */
static int is_real(const struct model *m, struct symbolizer *symbols, const struct model_misuse *r)
{
	enum snap_family allocated, freed;
	int rc;

	if (r->kind != SNAP_MISUSE_MISMATCH)
		return 1;
	rc = family_of(m, symbols, r->allocated, r->allocated_by, "operator new", &allocated);
	if (rc == 0)
		rc = family_of(m, symbols, r->freed, r->freed_by, "operator delete", &freed);
	if (rc < 0)
		return rc;
	return allocated != freed;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

struct text_stack {
	const struct view *v;
	unsigned shown;
};

static int text_frame(const struct symbol_frame *f, void *context)
{
	struct text_stack *t = context;
	struct profile_frame frame = { f->function, f->module, f->file, f->line, f->offset, f->inlined };

	if (t->shown++ == TEXT_FRAMES) {
		buf_printf(t->v->out, "%10s...\n", "");
		return 1;
	}
	buf_printf(t->v->out, "%10s", "");
	view_frame(t->v, &frame);
	buf_add_char(t->v->out, '\n');
	return 0;
}

static int text_stack(const struct view *v, const struct model *m, struct symbolizer *symbols, const char *title,
                      uint32_t stack)
{
	struct text_stack t = { v, 0 };
	int rc;

	if (!stack)
		return 0;
	buf_printf(v->out, "      %s\n", title);
	rc = each_frame(m, symbols, stack, text_frame, &t);
	return rc < 0 ? rc : 0;
}

static int text_row(const struct view *v, const struct model *m, struct symbolizer *symbols,
                    const struct model_misuse *r)
{
	int rc;

	buf_add_str(v->out, "  ");
	view_text(v, VIEW_BAD, kind_texts[r->kind]);
	if (r->count > 1) {
		buf_add_str(v->out, ", ");
		view_count(v, r->count);
		buf_add_str(v->out, " times");
	}
	buf_printf(v->out, ": 0x%" PRIx64, r->address);
	if (r->bytes && r->kind == SNAP_MISUSE_MISMATCH)
		buf_printf(v->out, ", %" PRIu64 " bytes", r->bytes);
	if (r->kind == SNAP_MISUSE_MISMATCH)
		buf_printf(v->out, ", allocated by %s", allocated_by[r->allocated_by]);
	buf_printf(v->out, ", %sfreed by %s", r->kind == SNAP_MISUSE_DOUBLE_FREE ? "the second time " : "",
	           freed_by[r->freed_by]);
	if (r->kind == SNAP_MISUSE_NO_BLOCK)
		buf_printf(v->out, ": %s", no_block_texts[r->no_block]);
	buf_printf(v->out, " (thread %" PRIu64 ")\n", m->threads[r->thread].tid);
	rc = text_stack(v, m, symbols, "allocated", r->allocated);
	if (rc == 0)
		rc = text_stack(v, m, symbols, "first freed", r->first_freed);
	if (rc == 0)
		rc = text_stack(v, m, symbols, "freed", r->freed);
	return rc;
}

int view_misuse_text(const struct view *v, const struct model *m, struct symbolizer *symbols, struct err *err)
{
	size_t shown = 0;

	for (size_t i = 0; i < m->misuse_count; i++) {
		int rc = is_real(m, symbols, &m->misuse[i]);

		if (rc > 0) {
			if (shown++ == 0) {
				view_text(v, VIEW_BAD, "misuse of the heap");
				buf_add_char(v->out, '\n');
			}
			rc = text_row(v, m, symbols, &m->misuse[i]);
		}
		if (rc < 0)
			return no_memory(err);
	}
	return 0;
}

int view_misuse_line(const struct view *v, const struct model *m, struct symbolizer *symbols, struct err *err)
{
	uint64_t times[SNAP_MISUSE_COUNT] = { 0 };
	bool any = false;

	for (size_t i = 0; i < m->misuse_count; i++) {
		int rc = is_real(m, symbols, &m->misuse[i]);

		if (rc < 0)
			return no_memory(err);
		if (rc > 0)
			times[m->misuse[i].kind] += m->misuse[i].count;
	}
	for (unsigned k = 0; k < SNAP_MISUSE_COUNT; k++) {
		if (!times[k])
			continue;
		view_style(v, VIEW_BAD);
		buf_add_str(v->out, any ? ", " : "misuse: ");
		buf_add_str(v->out, kind_texts[k]);
		buf_add_char(v->out, ' ');
		view_count(v, times[k]);
		buf_add_str(v->out, times[k] == 1 ? " time" : " times");
		view_style(v, VIEW_PLAIN);
		any = true;
	}
	if (any)
		buf_add_str(v->out, " (info shows the stacks)\n");
	return 0;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static int json_frame(const struct symbol_frame *f, void *context)
{
	json_string(context, f->function);
	return 0;
}

static int json_stack(struct json *j, const char *key, const struct model *m, struct symbolizer *symbols,
                      uint32_t stack)
{
	int rc;

	json_key(j, key);
	json_array_begin(j);
	rc = each_frame(m, symbols, stack, json_frame, j);
	json_array_end(j);
	return rc;
}

static int json_row(struct json *j, const struct model *m, struct symbolizer *symbols, const struct model_misuse *r)
{
	char address[24];
	int rc;

	(void)snprintf(address, sizeof(address), "0x%" PRIx64, r->address);
	json_object_begin(j);
	json_key_string(j, "kind", kinds[r->kind]);
	json_key_string(j, "allocated_by", r->kind == SNAP_MISUSE_MISMATCH ? allocated_by[r->allocated_by] : NULL);
	json_key_string(j, "freed_by", freed_by[r->freed_by]);
	json_key_string(j, "no_block", r->kind == SNAP_MISUSE_NO_BLOCK ? no_block[r->no_block] : NULL);
	json_key_u64(j, "count", r->count);
	json_key_string(j, "address", address);
	json_key_u64(j, "bytes", r->bytes);
	json_key_u64(j, "time_ns", r->time_ns);
	json_key_u64(j, "thread", m->threads[r->thread].tid);
	rc = json_stack(j, "allocated", m, symbols, r->allocated);
	if (rc == 0)
		rc = json_stack(j, "first_freed", m, symbols, r->first_freed);
	if (rc == 0)
		rc = json_stack(j, "freed", m, symbols, r->freed);
	json_object_end(j);
	return rc;
}

int view_misuse_json(struct json *j, const struct model *m, struct symbolizer *symbols, struct err *err)
{
	int rc = 0;

	json_key(j, "misuse");
	json_array_begin(j);
	for (size_t i = 0; i < m->misuse_count && rc >= 0; i++) {
		rc = is_real(m, symbols, &m->misuse[i]);
		if (rc > 0)
			rc = json_row(j, m, symbols, &m->misuse[i]);
	}
	json_array_end(j);
	return rc < 0 ? no_memory(err) : 0;
}

/*
 * flamegraph_data.c - the numbers behind the picture, for its script.
 *
 * Nodes are parallel arrays in the tree's order (parents first, siblings together and in order), so the script lays the
 * picture out again with one loop. Names stand in a table once. Every '<', '>' and '&' becomes \u00xx: those occur in
 * JSON only inside strings, and so nothing can end the CDATA section or look like markup.
 */
#include "flamegraph_draw.h"

#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "functions.h"
#include "json_write.h"

/* Functions that a stored node names, numbered in order of first use. */
struct used {
	uint32_t *new_of; /* function -> number + 1; 0 unused */
	uint32_t *list;
	uint32_t count;
};

static void find_used(const struct flamegraph_layout *l, struct used *u)
{
	for (size_t i = 1; i < l->in->tree->count; i++) {
		uint32_t f = l->in->tree->nodes[i].function;

		if (l->kept[i] == TREE_NO_NODE || u->new_of[f])
			continue;
		u->list[u->count++] = f;
		u->new_of[f] = u->count;
	}
}

static void write_clean(struct json *j, const char *text, struct buf *scratch)
{
	buf_clear(scratch);
	clean_text(scratch, text);
	json_string_n(j, scratch->len ? scratch->data : "", scratch->len);
}

/* [name, short name or 0, module, file, line, inlined] */
static void write_function(struct json *j, const struct function *f, struct buf *scratch)
{
	struct buf brief = { 0 };

	short_name(&brief, f->name);
	json_array_begin(j);
	write_clean(j, f->name, scratch);
	if (brief.len && strcmp(brief.data, f->name) != 0)
		write_clean(j, brief.data, scratch);
	else
		json_u64(j, 0);
	write_clean(j, f->module, scratch);
	write_clean(j, f->file ? f->file : "", scratch);
	json_u64(j, f->line);
	json_u64(j, f->inlined);
	json_array_end(j);
	buf_done(&brief);
}

static void write_functions(struct json *j, const struct flamegraph_layout *l, const struct used *u)
{
	struct buf scratch = { 0 };

	json_key(j, "functions");
	json_array_begin(j);
	for (uint32_t i = 0; i < u->count; i++)
		write_function(j, &l->in->functions->items[u->list[i]], &scratch);
	json_array_end(j);
	if (scratch.failed)
		j->out->failed = true;
	buf_done(&scratch);
}

enum column { COLUMN_PARENT, COLUMN_FUNCTION, COLUMN_TOTAL, COLUMN_SELF, COLUMN_COUNT };

static uint64_t cell(const struct flamegraph_layout *l, const struct used *u, uint32_t i, enum column column, size_t k)
{
	const struct tree_node *node = &l->in->tree->nodes[i];

	switch (column) {
	case COLUMN_PARENT:
		return l->kept[node->parent];
	case COLUMN_FUNCTION:
		return i == 0 ? 0 : u->new_of[node->function];
	case COLUMN_TOTAL:
		return node->total[k];
	case COLUMN_SELF:
		return node->self[k];
	default:
		return node->count[k];
	}
}

static void write_column(struct json *j, const struct flamegraph_layout *l, const struct used *u, const char *key,
                         enum column column, size_t k)
{
	json_key(j, key);
	json_array_begin(j);
	for (uint32_t i = 0; i < l->in->tree->count; i++)
		if (l->kept[i] != TREE_NO_NODE)
			json_u64(j, cell(l, u, i, column, k));
	json_array_end(j);
}

static void write_colours(struct json *j, const struct flamegraph_layout *l)
{
	json_key(j, "colour");
	json_array_begin(j);
	for (uint32_t i = 0; i < l->in->tree->count; i++) {
		char colour[8];

		if (l->kept[i] == TREE_NO_NODE)
			continue;
		flamegraph_colour(l, i, colour);
		json_string(j, colour);
	}
	json_array_end(j);
}

static void write_all(struct json *j, const struct flamegraph_layout *l, const struct used *u)
{
	json_object_begin(j);
	json_key_string(j, "metric", profile_metric_name(l->in->metric));
	json_key_string(j, "unit", profile_metric_unit(l->in->metric));
	json_key_u64(j, "period_ns", l->in->period_ns);
	json_key_bool(j, "diff", l->in->profile_count == 2);
	json_key_u64(j, "side", l->side);
	json_key_double(j, "before_scale", l->before_scale);
	json_key_bool(j, "inverted", l->options->inverted);
	json_key_bool(j, "fluid", l->options->width_px == 0);
	write_functions(j, l, u);
	write_column(j, l, u, "parent", COLUMN_PARENT, 0);
	write_column(j, l, u, "function", COLUMN_FUNCTION, 0);
	write_colours(j, l);
	for (size_t k = 0; k < l->in->profile_count; k++) {
		write_column(j, l, u, k ? "total1" : "total0", COLUMN_TOTAL, k);
		write_column(j, l, u, k ? "self1" : "self0", COLUMN_SELF, k);
		write_column(j, l, u, k ? "count1" : "count0", COLUMN_COUNT, k);
	}
	json_object_end(j);
}

void flamegraph_data(const struct flamegraph_layout *l, struct buf *out)
{
	struct used u = { calloc(l->in->functions->count + 1, sizeof(uint32_t)),
		          calloc(l->in->functions->count + 1, sizeof(uint32_t)), 0 };
	struct buf text = { 0 };
	struct json j;

	if (u.new_of && u.list) {
		find_used(l, &u);
		json_init(&j, &text);
		write_all(&j, l, &u);
	}
	if (!u.new_of || !u.list || text.failed)
		out->failed = true;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c == '<' || c == '>' || c == '&')
			buf_printf(out, "\\u%04x", (unsigned)c);
		else
			buf_add_char(out, c);
	}
	free(u.new_of);
	free(u.list);
	buf_done(&text);
}

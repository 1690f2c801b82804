/*
 * merge_space.c - one address space, one set of threads and one tree of stacks for all.
 *
 * A module keeps the addresses at which it was first seen, unless another is there; then it goes above 2^57, where no process has
 * any. Its addresses in another recording are moved by the distance. What has no file that all share (generated code,
 * memory that is in no module, the functions of another run of the kernel) is one address, for want of a better name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "merge_part.h"
#include "model_memory.h"

#define FIRST_FREE (UINT64_C(1) << 57)
#define LARGEST    (UINT64_C(1) << 47)
/* In no module: modules begin above it. Names call it "[unmapped]". */
#define NO_MODULE_PC ((uint64_t)SNAP_PC_SPECIAL_END)
#define PAGE         4096
#define KEY_BYTES    (SNAP_MAX_BUILD_ID + 5 * sizeof(uint64_t))

/* ---- modules ---- */

static bool is_anonymous(const struct model_module *mod)
{
	return (mod->flags & SNAP_MODULE_ANON) || (mod->path[0] == '[' && !mod->build_id_bytes);
}

static bool is_free(const struct merge *g, uint64_t start, uint64_t end)
{
	if (start <= NO_MODULE_PC || end > FIRST_FREE)
		return false;
	for (size_t i = 0; i < g->modules.keys.count; i++) {
		const struct model_module *other = merge_table_at(&g->modules, i);

		if (start < other->end && other->start < end)
			return false;
	}
	return true;
}

/* What makes two modules one. */
static int module_key(const struct merge_input *in, const struct model_module *mod, uint8_t key[KEY_BYTES])
{
	uint64_t numbers[5] = { mod->build_id_bytes, mod->end - mod->start, mod->start - mod->bias };
	int64_t path = intern_add(&in->g->texts, mod->path, strlen(mod->path));

	if (path < 0)
		return -ENOMEM;
	numbers[3] = (uint64_t)path;
	if (!in->g->single && is_anonymous(mod))
		numbers[1] = numbers[2] = 0;
	if (in->g->single)
		numbers[4] = mod->start; /* all as it is */
	memset(key, 0, SNAP_MAX_BUILD_ID + sizeof(numbers));
	memcpy(key, mod->build_id, mod->build_id_bytes);
	memcpy(key + SNAP_MAX_BUILD_ID, numbers, sizeof(numbers));
	return 0;
}

static void place(struct merge_input *in, struct model_module *to, const struct model_module *mod)
{
	struct merge *g = in->g;
	uint64_t bytes = mod->end - mod->start;

	*to = *mod;
	to->path = merge_about_text(g, mod->path);
	if (in->g->single)
		return;
	if (is_anonymous(mod))
		bytes = PAGE;
	if (is_anonymous(mod) || !is_free(g, mod->start, mod->end)) {
		g->next_address = g->next_address ? g->next_address : FIRST_FREE;
		to->start = g->next_address;
		g->next_address += (bytes + 2 * PAGE - 1) / PAGE * PAGE;
		to->bias = mod->bias + (to->start - mod->start);
	}
	to->end = to->start + bytes;
	to->load_ns = merge_space_time(in, mod->load_ns);
	to->unload_ns = merge_space_time(in, mod->unload_ns);
}

static void widen(const struct merge_input *in, struct model_module *to, const struct model_module *mod)
{
	uint64_t load = merge_space_time(in, mod->load_ns), unload = merge_space_time(in, mod->unload_ns);

	to->flags |= mod->flags;
	if (load < to->load_ns)
		to->load_ns = load;
	to->unload_ns = !unload || !to->unload_ns ? 0 : unload > to->unload_ns ? unload : to->unload_ns;
}

static int add_module(struct merge_input *in, size_t i)
{
	const struct model_module *mod = &in->m->modules[i];
	struct merge *g = in->g;
	uint8_t key[KEY_BYTES];
	size_t before = g->modules.keys.count;
	struct model_module *to;
	int rc = module_key(in, mod, key);

	if (rc < 0)
		return rc;
	to = mod->end - mod->start > LARGEST && !g->single ? NULL
	                                                   : merge_table_row(&g->modules, key, sizeof(key), 0, &rc);
	if (!to && rc == -ENOMEM)
		return rc;
	if (!to) {
		g->lost[MERGE_LOST_MODULES]++;
		in->module_kind[i] = MERGE_MODULE_LOST;
		return 0;
	}
	if (g->modules.keys.count > before) {
		struct model_module place_here;

		g->modules.keys.count = before; /* it is not its own neighbour */
		place(in, &place_here, mod);
		g->modules.keys.count = before + 1;
		if (!place_here.path)
			return -ENOMEM;
		*to = place_here;
	} else if (!g->single) {
		widen(in, to, mod);
	}
	in->shift_of[i] = to->start - mod->start;
	in->module_kind[i] = MERGE_MODULE_KEPT;
	if (is_anonymous(mod) && !g->single) {
		in->module_kind[i] = MERGE_MODULE_ANY_ADDRESS;
		in->shift_of[i] = to->start;
	}
	return 0;
}

/* ---- threads ---- */

static int add_thread(struct merge_input *in, size_t i)
{
	const struct model_thread *t = &in->m->threads[i];
	struct merge *g = in->g;
	const char *name = merge_about_text(g, t->name);
	struct merge_thread *to;
	size_t before = g->threads.keys.count;
	uint64_t key[2] = { 0, g->single ? i + 1 : 0 }, start = merge_space_time(in, t->start_ns);
	int64_t number = name ? intern_add(&g->texts, name, strlen(name)) : -1;
	int rc = 0;

	if (number < 0)
		return -ENOMEM;
	key[0] = (uint64_t)number;
	to = merge_table_row(&g->threads, key, sizeof(key), 0, &rc);
	if (!to && rc == -ENOMEM)
		return rc;
	if (!to) {
		g->lost[MERGE_LOST_THREADS]++;
		to = merge_table_at(&g->threads, 0);
	}
	in->thread_of[i] = (uint32_t)(to - (struct merge_thread *)(void *)g->threads.rows);
	if (g->threads.keys.count > before) {
		to->tid = g->single ? t->tid : before; /* numbers of their own: many processes have the same */
		to->name = name;
		to->start_ns = start;
	}
	to->start_ns = start < to->start_ns ? start : to->start_ns;
	to->alive |= t->end_ns == 0;
	if (merge_space_time(in, t->end_ns) > to->end_ns)
		to->end_ns = merge_space_time(in, t->end_ns);
	to->cpu_ns = merge_saturated(to->cpu_ns, t->cpu_ns);
	return 0;
}

/* ---- stacks ---- */

uint64_t merge_space_time(const struct merge_input *in, uint64_t ns)
{
	return ns && in->time_shift ? merge_moved(ns, in->time_shift) : ns;
}

static uint64_t moved_pc(struct merge_input *in, uint64_t pc)
{
	uint64_t *others = &in->g->lost[MERGE_LOST_ADDRESSES];
	uint32_t module;

	if (pc < SNAP_PC_SPECIAL_END || in->g->single)
		return pc;
	if (pc >= SNAP_PC_KERNEL) {
		*others += in->foreign_kernel;
		return in->foreign_kernel ? SNAP_PC_KERNEL : pc;
	}
	module = model_map_find(&in->map, pc);
	if (module == MODEL_MAP_NONE) {
		++*others;
		return NO_MODULE_PC;
	}
	switch ((enum merge_module)in->module_kind[module]) {
	case MERGE_MODULE_KEPT:
		return pc + in->shift_of[module];
	case MERGE_MODULE_ANY_ADDRESS:
		++*others;
		return in->shift_of[module];
	case MERGE_MODULE_LOST:
		break;
	}
	return SNAP_PC_LOST;
}

/* The node below `parent`; where there is no room for it, the one that stands for a stack that is lost. */
static uint32_t node(struct merge_input *in, uint32_t parent, uint64_t pc)
{
	struct merge_table *t = &in->g->nodes;
	uint64_t key[2] = { parent, pc };
	struct model_node *row;
	int rc = 0;

	row = merge_table_row(t, key, sizeof(key), 1, &rc);
	if (!row && rc == MERGE_FULL) {
		in->g->lost[MERGE_LOST_STACKS]++;
		key[0] = 0;
		key[1] = SNAP_PC_LOST;
		row = merge_table_row(t, key, sizeof(key), 0, &rc);
	}
	if (!row) {
		in->rc = -ENOMEM;
		return 0;
	}
	row->parent = (uint32_t)key[0];
	row->pc = key[1];
	return (uint32_t)(row - (struct model_node *)(void *)t->rows) + 1;
}

uint32_t merge_space_stack(struct merge_input *in, uint32_t id)
{
	uint32_t depth = 0, merged = 0;

	for (; id && !in->node_of[id]; id = in->m->nodes[id - 1].parent)
		in->path[depth++] = id;
	if (id)
		merged = in->node_of[id] - 1;
	while (depth > 0 && in->rc == 0) {
		uint32_t at = in->path[--depth];

		merged = node(in, merged, moved_pc(in, in->m->nodes[at - 1].pc));
		in->node_of[at] = merged + 1;
	}
	return merged;
}

/* ---- all ---- */

int merge_space_begin(struct merge_input *in)
{
	const struct model *m = in->m;
	static const struct model_thread shared = { .name = "(more threads)" };
	int rc = 0;

	in->node_of = calloc(m->node_count + 1, sizeof(*in->node_of));
	in->path = calloc(m->node_count + 1, sizeof(*in->path));
	in->shift_of = calloc(m->module_count + 1, sizeof(*in->shift_of));
	in->module_kind = calloc(m->module_count + 1, sizeof(*in->module_kind));
	in->thread_of = calloc(m->thread_count + 1, sizeof(*in->thread_of));
	if (!in->node_of || !in->path || !in->shift_of || !in->module_kind || !in->thread_of ||
	    !model_map_init(&in->map, m))
		return -ENOMEM;
	if (in->g->threads.keys.count == 0 && !in->g->single) {
		struct model one = { .threads = (struct model_thread *)&shared, .thread_count = 1 };
		struct merge_input first = { .g = in->g, .m = &one, .thread_of = in->thread_of };

		rc = add_thread(&first, 0);
	}
	for (size_t i = 0; i < m->module_count && rc == 0; i++)
		rc = add_module(in, i);
	for (size_t i = 0; i < m->thread_count && rc == 0; i++)
		rc = add_thread(in, i);
	return rc;
}

void merge_space_end(struct merge_input *in)
{
	free(in->node_of);
	free(in->path);
	free(in->shift_of);
	free(in->module_kind);
	free(in->thread_of);
	model_map_done(&in->map);
}

int merge_space_finish(struct merge *g, struct model *m)
{
	struct arena *a = model_arena(m);
	const struct merge_thread *from = (const void *)g->threads.rows;

	m->module_count = g->modules.keys.count;
	m->thread_count = g->threads.keys.count;
	m->node_count = g->nodes.keys.count;
	m->modules = arena_array(a, m->module_count, sizeof(*m->modules));
	m->threads = arena_array(a, m->thread_count, sizeof(*m->threads));
	m->nodes = arena_array(a, m->node_count, sizeof(*m->nodes));
	if (!m->modules || !m->threads || !m->nodes)
		return -ENOMEM;
	if (m->node_count)
		memcpy(m->nodes, g->nodes.rows, m->node_count * sizeof(*m->nodes));
	if (m->module_count)
		memcpy(m->modules, g->modules.rows, m->module_count * sizeof(*m->modules));
	for (size_t i = 0; i < m->module_count; i++) {
		m->modules[i].path = arena_text(a, m->modules[i].path, strlen(m->modules[i].path));
		if (!m->modules[i].path)
			return -ENOMEM;
	}
	for (size_t i = 0; i < m->thread_count; i++) {
		m->threads[i] =
		        (struct model_thread){ from[i].tid, arena_text(a, from[i].name, strlen(from[i].name)),
			                       from[i].start_ns, from[i].alive ? 0 : from[i].end_ns, from[i].cpu_ns };
		if (!m->threads[i].name)
			return -ENOMEM;
	}
	return 0;
}

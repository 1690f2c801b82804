/*
 * symbolize.c - pc -> module -> symbol and inlined calls, each distinct pc once.
 *
 * Modules may have had the same addresses one after the other. A stack has no time, so an address belongs to the module
 * that was loaded last: the address space is cut into cells at every module's start and end, and the modules take the
 * cells that are still free, latest first.
 */
#include "symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "intern.h"
#include "model.h"
#include "symbolize_kernel.h"
#include "symbolize_module.h"

struct known_pc {
	const struct symbol_frame *frames;
	size_t count;
};

#define NO_MODULE UINT32_MAX

struct symbolizer {
	const struct model *m;
	struct arena arena;
	struct symbol_cache *cache; /* NULL: none */
	struct symbolize_names names;
	struct symbolize_module *modules;
	uint64_t *edges; /* sorted; cell i is [edges[i], edges[i + 1]) */
	uint32_t *owner; /* module of a cell, or NO_MODULE */
	size_t edge_count;
	struct intern pcs;
	struct known_pc *known; /* by number in pcs */
	size_t known_cap;
	struct symbolize_kernel kernel;
};

/* ---- which module ------------------------------------------------------------------------------------------------- */

static int compare_u64(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static int compare_loads(const void *left, const void *right, void *context)
{
	const uint32_t *a = left, *b = right;
	const struct model_module *modules = context;

	if (modules[*a].load_ns != modules[*b].load_ns)
		return modules[*a].load_ns > modules[*b].load_ns ? -1 : 1;
	return *a > *b ? -1 : 1;
}

/* The number of edges at or below `address`. */
static size_t edges_up_to(const struct symbolizer *s, uint64_t address)
{
	size_t low = 0, high = s->edge_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->edges[mid] <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t free_from(size_t *next, size_t cell)
{
	while (next[cell] != cell)
		cell = next[cell] = next[next[cell]]; /* halves the path: Tarjan and van Leeuwen */
	return cell;
}

static void take_cells(struct symbolizer *s, const uint32_t *order, size_t *next)
{
	for (size_t k = 0; k < s->m->module_count; k++) {
		const struct model_module *mod = &s->m->modules[order[k]];
		size_t end;

		if (mod->start == mod->end)
			continue;
		end = edges_up_to(s, mod->end) - 1;
		for (size_t i = free_from(next, edges_up_to(s, mod->start) - 1); i < end; i = free_from(next, i)) {
			s->owner[i] = order[k];
			next[i] = i + 1;
		}
	}
}

static bool divide_addresses(struct symbolizer *s)
{
	size_t n = s->m->module_count, count = 0;
	uint32_t *order = calloc(n + 1, sizeof(*order));
	size_t *next = calloc(2 * n + 1, sizeof(*next));

	s->edges = calloc(2 * n + 1, sizeof(*s->edges));
	s->owner = calloc(2 * n + 1, sizeof(*s->owner));
	if (!order || !next || !s->edges || !s->owner) {
		free(order);
		free(next);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		order[i] = (uint32_t)i;
		s->edges[2 * i] = s->m->modules[i].start;
		s->edges[2 * i + 1] = s->m->modules[i].end;
	}
	qsort(s->edges, 2 * n, sizeof(*s->edges), compare_u64);
	for (size_t i = 0; i < 2 * n; i++)
		if (count == 0 || s->edges[count - 1] != s->edges[i])
			s->edges[count++] = s->edges[i];
	s->edge_count = count;
	for (size_t i = 0; i <= 2 * n; i++) {
		next[i] = i;
		s->owner[i] = NO_MODULE;
	}
	qsort_r(order, n, sizeof(*order), compare_loads, s->m->modules);
	take_cells(s, order, next);
	free(order);
	free(next);
	return true;
}

static uint32_t find_module(const struct symbolizer *s, uint64_t pc)
{
	size_t n = edges_up_to(s, pc);

	return n == 0 ? NO_MODULE : s->owner[n - 1];
}

static struct symbolize_module *open_module(struct symbolizer *s, size_t index)
{
	struct symbolize_module *mod = &s->modules[index];

	symbolize_module_open(mod, &s->names, s->cache);
	return mod;
}

void symbolizer_state(struct symbolizer *s, size_t module, struct symbols_state *ret_state)
{
	*ret_state = open_module(s, module)->state;
}

const char *symbols_kind_name(enum symbols_kind kind)
{
	static const char *const names[] = { "none", "dynsym", "symtab", "debug" };

	return names[kind];
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static bool grow(void **list, size_t *cap, size_t need, size_t item)
{
	size_t n = *cap ? *cap * 2 : 256;
	void *grown;

	if (need < *cap)
		return true;
	grown = realloc(*list, n * item);
	if (!grown)
		return false;
	*list = grown;
	*cap = n;
	return true;
}

static int one_frame(struct symbolizer *s, struct symbol_frame frame, struct known_pc *ret)
{
	struct symbol_frame *copy = arena_array(&s->arena, 1, sizeof(*copy));

	if (!copy || !frame.function)
		return -ENOMEM;
	*copy = frame;
	*ret = (struct known_pc){ copy, 1 };
	return 0;
}

static const char *special_name(uint64_t pc)
{
	switch (pc) {
	case SNAP_PC_TRUNCATED:
		return "[truncated]";
	case SNAP_PC_LOST:
		return "[lost]";
	case SNAP_PC_RECORDER:
		return "[perfprobe]";
	case SNAP_PC_ELIDED:
		return "[... frames left out]";
	default:
		return "[special]"; /* of a later version */
	}
}

/* The names of a running kernel, where it is the one that was recorded; else all its functions are one. */
static int kernel_frame(struct symbolizer *s, uint64_t pc, struct known_pc *ret)
{
	const char *module;
	const char *name = symbolize_kernel_find(&s->kernel, pc, &module);

	return one_frame(s,
	                 (struct symbol_frame){ .function = name ? name : "[kernel]",
	                                        .module = name ? module : "[kernel]",
	                                        .offset = pc },
	                 ret);
}

static int module_frames(struct symbolizer *s, size_t index, uint64_t pc, struct known_pc *ret)
{
	struct symbolize_module *mod = open_module(s, index);

	return symbolize_module_frames(mod, &s->names, pc - mod->about->bias, &ret->frames, &ret->count);
}

int symbolizer_frames(struct symbolizer *s, uint64_t pc, const struct symbol_frame **ret_frames, size_t *ret_count)
{
	size_t before = s->pcs.count;
	int64_t i = intern_add(&s->pcs, &pc, sizeof(pc));
	void *list = s->known;
	uint32_t module;
	int rc = 0;

	if (i < 0)
		return -ENOMEM;
	if ((size_t)i == before) {
		if (!grow(&list, &s->known_cap, (size_t)i, sizeof(*s->known)))
			return -ENOMEM;
		s->known = list;
		s->known[i] = (struct known_pc){ NULL, 0 };
	}
	if (!s->known[i].frames) {
		module = pc < SNAP_PC_SPECIAL_END || pc >= SNAP_PC_KERNEL ? NO_MODULE : find_module(s, pc);
		if (pc < SNAP_PC_SPECIAL_END)
			rc = one_frame(s, (struct symbol_frame){ .function = special_name(pc), .module = "" },
			               &s->known[i]);
		else if (pc >= SNAP_PC_KERNEL)
			rc = kernel_frame(s, pc, &s->known[i]);
		else if (module == NO_MODULE)
			rc = one_frame(s, (struct symbol_frame){ .function = "[unmapped]", .module = "" },
			               &s->known[i]);
		else
			rc = module_frames(s, module, pc, &s->known[i]);
	}
	if (rc < 0)
		return rc;
	*ret_frames = s->known[i].frames;
	*ret_count = s->known[i].count;
	return 0;
}

int symbolizer_new(const struct model *model, const struct symbolize_options *options,
                   struct symbolizer **ret_symbolizer, struct err *err)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (s) {
		s->m = model;
		s->cache = options ? options->cache : NULL;
		s->names.arena = &s->arena;
		s->kernel = (struct symbolize_kernel){ .boot = model->boot, .cache = s->cache, .arena = &s->arena };
		s->pcs.arena = s->names.mangled.arena = s->names.texts.arena = &s->arena;
		s->modules = calloc(model->module_count + 1, sizeof(*s->modules));
	}
	if (!s || !s->modules || !divide_addresses(s)) {
		symbolizer_free(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < model->module_count; i++)
		s->modules[i].about = &model->modules[i];
	*ret_symbolizer = s;
	return 0;
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->modules && i < s->m->module_count; i++)
		symbolize_module_done(&s->modules[i]);
	free(s->modules);
	free(s->edges);
	free(s->owner);
	symbolize_kernel_done(&s->kernel);
	intern_done(&s->pcs);
	symbolize_names_done(&s->names);
	free(s->known);
	arena_done(&s->arena);
	free(s);
}

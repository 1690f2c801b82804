/* symbolize.c - pc -> module -> symbol and inlined calls, each distinct pc once. */
#include "symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "elf_places.h"
#include "intern.h"
#include "model.h"
#include "model_map.h"
#include "symbolize_kernel.h"
#include "symbolize_module.h"
#include "symbolize_package.h"

struct known_pc {
	const struct symbol_frame *frames;
	size_t count;
};

struct symbolizer {
	const struct model *m;
	struct arena arena;
	struct symbolize_options options;
	struct symbolize_packages packages;
	struct symbolize_names names;
	struct symbolize_module *modules;
	struct model_map map;
	struct intern pcs;
	struct known_pc *known; /* by number in pcs */
	size_t known_cap;
	struct symbolize_kernel kernel;
};

static struct symbolize_module *open_module(struct symbolizer *s, size_t index)
{
	struct symbolize_module *mod = &s->modules[index];

	symbolize_module_open(mod, &s->names, &s->options);
	return mod;
}

void symbolizer_state(struct symbolizer *s, size_t module, struct symbols_state *ret_state)
{
	struct symbolize_module *mod = open_module(s, module);

	*ret_state = mod->state;
	if (ret_state->why[0] && s->m->modules[module].path[0] == '/')
		symbolize_packages_find(&s->packages, s->options.places ? s->options.places->sysroot : NULL,
		                        s->m->modules[module].path, ret_state->wanted_package,
		                        sizeof(ret_state->wanted_package), !mod->needs_itself);
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
		module =
		        pc < SNAP_PC_SPECIAL_END || pc >= SNAP_PC_KERNEL ? MODEL_MAP_NONE : model_map_find(&s->map, pc);
		if (pc < SNAP_PC_SPECIAL_END)
			rc = one_frame(s, (struct symbol_frame){ .function = special_name(pc), .module = "" },
			               &s->known[i]);
		else if (pc >= SNAP_PC_KERNEL)
			rc = kernel_frame(s, pc, &s->known[i]);
		else if (module == MODEL_MAP_NONE)
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
		s->options = options ? *options : (struct symbolize_options){ 0 };
		s->names.arena = &s->arena;
		s->kernel =
		        (struct symbolize_kernel){ .boot = model->boot, .cache = s->options.cache, .arena = &s->arena };
		s->pcs.arena = s->names.mangled.arena = s->names.texts.arena = &s->arena;
		s->modules = calloc(model->module_count + 1, sizeof(*s->modules));
	}
	if (!s || !s->modules || !model_map_init(&s->map, model)) {
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
	model_map_done(&s->map);
	symbolize_kernel_done(&s->kernel);
	intern_done(&s->pcs);
	symbolize_names_done(&s->names);
	symbolize_packages_done(&s->packages);
	free(s->known);
	arena_done(&s->arena);
	free(s);
}

/* symbolize.c - pc -> module -> symbol and inlined calls, each distinct pc once. */
#include "symbolize.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "demangle.h"
#include "dwarf_frames.h"
#include "elf_source.h"
#include "elf_starts.h"
#include "elf_symbols.h"
#include "intern.h"
#include "kernel_symbols.h"
#include "model.h"
#include "model_map.h"

struct module {
	bool opened;
	struct elf_source source;
	struct elf_symbols symbols;
	struct elf_starts starts;
	struct dwarf_frames *dwarf;
	struct symbols_state state;
};

struct known_pc {
	const struct symbol_frame *frames;
	size_t count;
};

struct symbolizer {
	const struct model *m;
	struct arena arena;
	struct module *modules;
	struct model_map map;
	struct intern pcs, mangled, texts;
	struct known_pc *known;        /* by number in pcs */
	const char **readable;         /* by number in mangled */
	struct kernel_symbols *kernel; /* NULL: not asked for yet, or no memory */
	size_t known_cap, readable_cap;
};

/* ---- what a module's files offer ---------------------------------------------------------------------------------- */

static void describe(struct module *mod, const struct model_module *about)
{
	struct symbols_state *st = &mod->state;

	if (about->flags & SNAP_MODULE_VDSO) {
		st->kind =
		        mod->symbols.count ? SYMBOLS_DYNAMIC : SYMBOLS_NONE; /* all there is: it has no other table */
	} else if (mod->dwarf) {
		st->kind = SYMBOLS_DEBUG;
	} else if (mod->symbols.has_table) {
		st->kind = SYMBOLS_TABLE;
		(void)snprintf(st->why, sizeof(st->why), "no debug information: no lines, no inlined calls");
	} else if (mod->symbols.count) {
		st->kind = SYMBOLS_DYNAMIC;
		(void)snprintf(st->why, sizeof(st->why),
		               "stripped: only exported functions have names (its -dbgsym package has the rest)");
	} else {
		(void)snprintf(st->why, sizeof(st->why), "stripped: no symbols at all (see its -dbgsym package)");
	}
	if (st->kind != SYMBOLS_NONE && !about->build_id_bytes && !st->why[0])
		(void)snprintf(st->why, sizeof(st->why),
		               "no build-id: that the file is the one recorded is not verified");
	(void)snprintf(st->file, sizeof(st->file), "%.199s", mod->source.debug_path);
}

static struct module *open_module(struct symbolizer *s, size_t index)
{
	const struct model_module *about = &s->m->modules[index];
	struct module *mod = &s->modules[index];
	char why[160] = "";
	bool ok;

	if (mod->opened)
		return mod;
	mod->opened = true;
	if (about->flags & SNAP_MODULE_ANON) {
		(void)snprintf(mod->state.why, sizeof(mod->state.why),
		               "code made at run time (JIT): no file describes it");
		return mod;
	}
	if (about->flags & SNAP_MODULE_VDSO)
		ok = elf_source_open_vdso(about->build_id, about->build_id_bytes, &mod->source, why, sizeof(why));
	else
		ok = elf_source_open(about->path, about->build_id, about->build_id_bytes, &mod->source, why,
		                     sizeof(why));
	if (!ok) {
		(void)snprintf(mod->state.why, sizeof(mod->state.why), "%s", why);
		return mod;
	}
	/* Out of memory leaves fewer names; the frames that need them show as module+offset. */
	(void)elf_symbols_load(&mod->symbols, &mod->source, &s->arena);
	(void)elf_starts_load(&mod->starts, &mod->source); /* likewise */
	mod->dwarf = dwarf_frames_new(mod->source.main);
	if (!mod->dwarf && mod->source.debug)
		mod->dwarf = dwarf_frames_new(mod->source.debug);
	describe(mod, about);
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

/* Where the function without a name begins, so that all of its addresses have one name; else the address itself. */
static uint64_t nameless_start(const struct module *mod, uint64_t address)
{
	uint64_t start = address;

	(void)elf_starts_find(&mod->starts, address, &start);
	return start;
}

/* Demangled once per distinct name. NULL when memory runs out. */
static const char *readable_name(struct symbolizer *s, const char *symbol)
{
	size_t before = s->mangled.count;
	int64_t i = intern_add(&s->mangled, symbol, strlen(symbol));
	struct buf text = { 0 };
	void *list = s->readable;

	if (i < 0)
		return NULL;
	if ((size_t)i < before)
		return s->readable[i];
	if (!grow(&list, &s->readable_cap, (size_t)i, sizeof(*s->readable)))
		return NULL;
	s->readable = list;
	demangle(symbol, &text);
	s->readable[i] = text.failed || !text.data ? NULL : intern_string(&s->texts, text.data);
	buf_done(&text);
	return s->readable[i];
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static const char *offset_name(struct symbolizer *s, const struct model_module *about, uint64_t offset)
{
	struct buf text = { 0 };
	const char *name;

	if (about->flags & SNAP_MODULE_ANON)
		return about->path[0] ? about->path : "[anon]"; /* offsets into it mean nothing from run to run */
	buf_printf(&text, "%s+0x%" PRIx64, base_name(about->path), offset);
	name = text.failed ? NULL : intern_string(&s->texts, text.data);
	buf_done(&text);
	return name;
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
	const char *name;

	if (!s->kernel)
		s->kernel = kernel_symbols_new(s->m->boot);
	name = kernel_symbols_find(s->kernel, pc, &module);
	return one_frame(s,
	                 (struct symbol_frame){ .function = name ? name : "[kernel]",
	                                        .module = name ? module : "[kernel]",
	                                        .offset = pc },
	                 ret);
}

static int module_frames(struct symbolizer *s, size_t index, uint64_t pc, struct known_pc *ret)
{
	const struct model_module *about = &s->m->modules[index];
	struct module *mod = open_module(s, index);
	uint64_t address = pc - about->bias;
	const struct elf_symbol *symbol = elf_symbols_find(&mod->symbols, address);
	struct dwarf_frame found[DWARF_MAX_INLINE];
	size_t n = mod->dwarf ? dwarf_frames_find(mod->dwarf, address, found) : 0;
	struct symbol_frame *frames;

	if (n == 0) {
		found[0] = (struct dwarf_frame){ 0 };
		n = 1;
	}
	frames = arena_array(&s->arena, n, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	if (symbol) /* the linker's name of the physical function goes before the compiler's */
		found[n - 1].name = symbol->name;
	for (size_t i = 0; i < n; i++) {
		struct dwarf_frame *f = &found[i];
		const char *name = f->name && f->name[0] ? readable_name(s, f->name)
		                   : f->inlined          ? "[inlined]"
		                                         : offset_name(s, about, nameless_start(mod, address));

		if (!name)
			return -ENOMEM;
		frames[i] = (struct symbol_frame){ name, about->path, f->file, f->line, address, f->inlined };
	}
	*ret = (struct known_pc){ frames, n };
	return 0;
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

int symbolizer_new(const struct model *model, struct symbolizer **ret_symbolizer, struct err *err)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (s) {
		s->m = model;
		s->pcs.arena = s->mangled.arena = s->texts.arena = &s->arena;
		s->modules = calloc(model->module_count + 1, sizeof(*s->modules));
	}
	if (!s || !s->modules || !model_map_init(&s->map, model)) {
		symbolizer_free(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < model->module_count; i++)
		s->modules[i].source.main_fd = s->modules[i].source.debug_fd = -1;
	*ret_symbolizer = s;
	return 0;
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->modules && i < s->m->module_count; i++) {
		struct module *mod = &s->modules[i];

		dwarf_frames_free(mod->dwarf);
		elf_symbols_done(&mod->symbols);
		elf_starts_done(&mod->starts);
		if (mod->opened)
			elf_source_done(&mod->source);
	}
	free(s->modules);
	model_map_done(&s->map);
	kernel_symbols_free(s->kernel);
	intern_done(&s->pcs);
	intern_done(&s->mangled);
	intern_done(&s->texts);
	free(s->known);
	free(s->readable);
	arena_done(&s->arena);
	free(s);
}

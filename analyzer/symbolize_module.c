#include "symbolize_module.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demangle.h"
#include "dwarf_frames.h"
#include "elf_places.h"
#include "model.h"

/* ---- what a module's files offer ---------------------------------------------------------------------------------- */

static bool is_vdso(const struct symbolize_module *mod)
{
	return mod->about->flags & SNAP_MODULE_VDSO;
}

static enum symbols_kind kind_of(const struct symbolize_module *mod)
{
	if (mod->dwarf)
		return SYMBOLS_DEBUG;
	if (mod->symbols.has_table)
		return SYMBOLS_TABLE;
	return mod->symbols.count ? SYMBOLS_DYNAMIC : SYMBOLS_NONE;
}

/* The debug file that is missing: by build-id, else by the name that the file itself gives. */
static void want_debug_file(struct symbolize_module *mod)
{
	struct elf_wanted w = { mod->about->path, mod->about->build_id, mod->about->build_id_bytes };
	char usual[PATH_MAX];

	elf_places_usual(&w, usual);
	(void)snprintf(mod->state.wanted_file, sizeof(mod->state.wanted_file), "%.511s",
	               usual[0] ? usual : mod->source.link);
}

static void describe(struct symbolize_module *mod)
{
	struct symbols_state *st = &mod->state;

	(void)snprintf(st->file, sizeof(st->file), "%s", mod->source.debug_path);
	if (is_vdso(mod)) { /* what it has is all there is */
		st->kind = st->kind == SYMBOLS_NONE ? SYMBOLS_NONE : SYMBOLS_DYNAMIC;
		return;
	}
	if (st->kind == SYMBOLS_TABLE)
		(void)snprintf(st->why, sizeof(st->why), "no debug information: no lines, no inlined calls");
	else if (st->kind == SYMBOLS_DYNAMIC)
		(void)snprintf(st->why, sizeof(st->why), "stripped: only exported functions have names");
	else if (st->kind == SYMBOLS_NONE)
		(void)snprintf(st->why, sizeof(st->why), "stripped: no symbols at all");
	if (st->kind != SYMBOLS_DEBUG)
		want_debug_file(mod);
	if (st->kind == SYMBOLS_DEBUG && mod->source.alt_wanted && !mod->source.alt) {
		(void)snprintf(st->why, sizeof(st->why), "its debug information is incomplete without the file %s",
		               mod->source.alt_path);
		(void)snprintf(st->wanted_file, sizeof(st->wanted_file), "%s", mod->source.alt_path);
	} else if (st->kind != SYMBOLS_NONE && !mod->about->build_id_bytes && !st->why[0]) {
		(void)snprintf(st->why, sizeof(st->why),
		               "no build-id: that the file is the one recorded is not verified");
	}
}

static void load(struct symbolize_module *mod, struct symbolize_names *names)
{
	if (mod->loaded || (!mod->source.main && !mod->source.debug))
		return;
	mod->loaded = true;
	elf_source_load_mini(&mod->source);
	/* Out of memory leaves fewer names; the frames that need them show as module+offset. */
	(void)elf_symbols_load(&mod->symbols, &mod->source, names->arena);
	(void)elf_starts_load(&mod->starts, &mod->source); /* likewise */
	if (mod->source.main)
		mod->dwarf = dwarf_frames_new(mod->source.main, mod->source.alt);
	if (!mod->dwarf && mod->source.debug)
		mod->dwarf = dwarf_frames_new(mod->source.debug, mod->source.alt);
}

static void find_cached(struct symbolize_module *mod, struct symbol_cache *cache)
{
	struct buf identity = { 0 };
	char *text;

	if (!cache || is_vdso(mod) || !elf_source_identity(&mod->source, &identity)) {
		buf_done(&identity);
		return;
	}
	buf_printf(&identity, "recorded %s ", mod->about->path);
	for (size_t i = 0; i < mod->about->build_id_bytes; i++)
		buf_printf(&identity, "%02x", mod->about->build_id[i]);
	text = buf_take(&identity, &(size_t){ 0 });
	if (!text)
		return;
	mod->cache = cache;
	symbol_cache_key(&mod->key, text, mod->about->build_id, mod->about->build_id_bytes);
	if (!symbol_cache_read(cache, &mod->key, &mod->cached))
		mod->cached = (struct symbol_file){ 0 };
}

void symbolize_module_open(struct symbolize_module *mod, struct symbolize_names *names,
                           const struct symbolize_options *options)
{
	const struct model_module *about = mod->about;
	char why[600] = "";
	bool ok;

	if (mod->opened)
		return;
	mod->opened = true;
	mod->source.main_fd = mod->source.debug_fd = mod->source.alt_fd = -1;
	if (about->flags & SNAP_MODULE_ANON) {
		(void)snprintf(mod->state.why, sizeof(mod->state.why),
		               "code made at run time (JIT): no file describes it");
		return;
	}
	if (is_vdso(mod))
		ok = elf_source_open_vdso(about->build_id, about->build_id_bytes, &mod->source, why, sizeof(why));
	else
		ok = elf_source_open(options->places, about->path, about->build_id, about->build_id_bytes, &mod->source,
		                     why, sizeof(why));
	if (!ok) {
		(void)snprintf(mod->state.why, sizeof(mod->state.why), "%s", why);
		if (about->path[0] == '/' && access(about->path, F_OK) < 0)
			(void)snprintf(mod->state.wanted_file, sizeof(mod->state.wanted_file), "%.511s", about->path);
		mod->needs_itself = true;
		return;
	}
	find_cached(mod, options->cache);
	if (mod->cached.data) {
		mod->state.kind = mod->cached.kind;
	} else {
		load(mod, names);
		mod->state.kind = kind_of(mod);
	}
	describe(mod);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* Demangled once per distinct name. NULL when memory runs out. */
static const char *readable_name(struct symbolize_names *s, const char *symbol)
{
	size_t before = s->mangled.count;
	int64_t i = intern_add(&s->mangled, symbol, strlen(symbol));
	struct buf text = { 0 };

	if (i < 0)
		return NULL;
	if ((size_t)i < before)
		return s->readable[i];
	if ((size_t)i >= s->readable_cap) {
		size_t cap = s->readable_cap ? s->readable_cap * 2 : 256;
		const char **list = realloc(s->readable, cap * sizeof(*list));

		if (!list)
			return NULL;
		s->readable = list;
		s->readable_cap = cap;
	}
	demangle(symbol, &text);
	s->readable[i] = text.failed || !text.data ? NULL : intern_string(&s->texts, text.data);
	buf_done(&text);
	return s->readable[i];
}

static const char *offset_name(struct symbolize_names *s, const struct model_module *about, uint64_t offset)
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

/* Where the function without a name begins, so that all of its addresses have one name; else the address itself. */
static uint64_t nameless_start(const struct symbolize_module *mod, uint64_t address)
{
	uint64_t start = address;

	(void)elf_starts_find(&mod->starts, address, &start);
	return start;
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static int cached_frames(struct symbolize_module *mod, struct symbolize_names *names, uint64_t address,
                         const struct symbol_frame **ret_frames, size_t *ret_count)
{
	struct symbol_frame found[SYMBOL_FILE_MAX_FRAMES], *frames;
	size_t n = mod->cached.data ? symbol_file_find(&mod->cached, address, found) : 0;

	if (n == 0)
		return 0;
	frames = arena_array(names->arena, n, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		frames[i] = found[i];
		frames[i].module = mod->about->path;
		frames[i].offset = address;
	}
	*ret_frames = frames;
	*ret_count = n;
	return 1;
}

/* For the cache; without memory it is found out again. */
static void keep(struct symbolize_module *mod, uint64_t address, const struct symbol_frame *frames, size_t count)
{
	if (!mod->cache)
		return;
	if (mod->fresh_count == mod->fresh_cap) {
		size_t cap = mod->fresh_cap ? mod->fresh_cap * 2 : 64;
		struct symbol_entry *list = realloc(mod->fresh, cap * sizeof(*list));

		if (!list)
			return;
		mod->fresh = list;
		mod->fresh_cap = cap;
	}
	mod->fresh[mod->fresh_count++] = (struct symbol_entry){ address, frames, count };
}

int symbolize_module_frames(struct symbolize_module *mod, struct symbolize_names *names, uint64_t address,
                            const struct symbol_frame **ret_frames, size_t *ret_count)
{
	struct dwarf_frame found[DWARF_MAX_INLINE];
	const struct elf_symbol *symbol;
	struct symbol_frame *frames;
	int rc = cached_frames(mod, names, address, ret_frames, ret_count);
	size_t n;

	if (rc != 0)
		return rc < 0 ? rc : 0;
	load(mod, names);
	symbol = elf_symbols_find(&mod->symbols, address);
	n = mod->dwarf ? dwarf_frames_find(mod->dwarf, address, found) : 0;
	if (n == 0) {
		found[0] = (struct dwarf_frame){ 0 };
		n = 1;
	}
	frames = arena_array(names->arena, n, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	if (symbol) /* the linker's name of the physical function goes before the compiler's */
		found[n - 1].name = symbol->name;
	for (size_t i = 0; i < n; i++) {
		struct dwarf_frame *f = &found[i];
		const char *name = f->name && f->name[0] ? readable_name(names, f->name)
		                   : f->inlined          ? "[inlined]"
		                                         : offset_name(names, mod->about, nameless_start(mod, address));

		if (!name)
			return -ENOMEM;
		frames[i] = (struct symbol_frame){ name, mod->about->path, f->file, f->line, address, f->inlined };
	}
	keep(mod, address, frames, n);
	*ret_frames = frames;
	*ret_count = n;
	return 0;
}

void symbolize_module_done(struct symbolize_module *mod)
{
	/* A file without addresses is worth its while, too: it says which kind of symbols there are. What split units say
	 * depends on files that the identity does not tell of. */
	if (mod->cache && (mod->fresh_count || !mod->cached.data) && !(mod->dwarf && dwarf_frames_is_split(mod->dwarf)))
		symbol_cache_write(mod->cache, &mod->key, mod->state.kind, mod->fresh, mod->fresh_count);
	free(mod->key.identity);
	free(mod->cached.data);
	free(mod->fresh);
	dwarf_frames_free(mod->dwarf);
	elf_symbols_done(&mod->symbols);
	elf_starts_done(&mod->starts);
	if (mod->opened)
		elf_source_done(&mod->source);
}

void symbolize_names_done(struct symbolize_names *names)
{
	intern_done(&names->mangled);
	intern_done(&names->texts);
	free(names->readable);
}

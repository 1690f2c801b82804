/*
 * symbolize_kernel.c - the kernel's names, and what is kept of them.
 *
 * An address means the same until the kernel starts again or loads a module, so what is kept belongs to the boot and to the
 * list of modules; and to kernel.kptr_restrict, so that nothing is shown that is to be hidden now.
 */
#include "symbolize_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_symbols.h"

static bool add_file(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "re");
	char block[4096];
	size_t n;

	if (!f)
		return false;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		buf_add(out, block, n);
	(void)fclose(f); /* read only: nothing can be lost */
	return !out->failed;
}

static void open_cached(struct symbolize_kernel *k)
{
	struct buf identity = { 0 };
	char *text;

	k->opened = true;
	if (!k->cache)
		return;
	buf_add_str(&identity, "kernel ");
	buf_add_str(&identity, k->boot);
	buf_add_char(&identity, '\n');
	if (!kernel_symbols_is_boot(k->boot) || !add_file(&identity, "/proc/sys/kernel/kptr_restrict")) {
		buf_done(&identity);
		return;
	}
	(void)add_file(&identity, "/proc/modules"); /* a kernel without modules has no such file */
	text = buf_take(&identity, NULL);
	symbol_cache_key(&k->key, text, NULL, 0);
	if (!symbol_cache_read(k->cache, &k->key, &k->cached))
		k->cached = (struct symbol_file){ 0 };
}

/* Without memory it is found out again the next time. */
static void keep(struct symbolize_kernel *k, uint64_t pc, const char *name, const char *module)
{
	struct symbol_frame *frame;

	if (!k->key.identity)
		return;
	if (k->fresh_count == k->fresh_cap) {
		size_t cap = k->fresh_cap ? k->fresh_cap * 2 : 64;
		struct symbol_entry *list = realloc(k->fresh, cap * sizeof(*list));

		if (!list)
			return;
		k->fresh = list;
		k->fresh_cap = cap;
	}
	frame = arena_array(k->arena, 1, sizeof(*frame));
	if (!frame)
		return;
	*frame = (struct symbol_frame){ .function = name, .file = module }; /* where a file is kept for others */
	k->fresh[k->fresh_count++] = (struct symbol_entry){ pc, frame, 1 };
}

const char *symbolize_kernel_find(struct symbolize_kernel *k, uint64_t pc, const char **ret_module)
{
	struct symbol_frame frames[SYMBOL_FILE_MAX_FRAMES];
	const char *name;

	if (!k->opened)
		open_cached(k);
	if (k->cached.data && symbol_file_find(&k->cached, pc, frames) == 1 && frames[0].file) {
		*ret_module = frames[0].file;
		return frames[0].function;
	}
	if (!k->loaded) {
		k->loaded = true;
		k->symbols = kernel_symbols_new(k->boot);
	}
	name = kernel_symbols_find(k->symbols, pc, ret_module);
	if (name)
		keep(k, pc, name, *ret_module);
	return name;
}

void symbolize_kernel_done(struct symbolize_kernel *k)
{
	if (k->cache && k->fresh_count)
		symbol_cache_write(k->cache, &k->key, SYMBOLS_TABLE, k->fresh, k->fresh_count);
	free(k->key.identity);
	free(k->cached.data);
	free(k->fresh);
	kernel_symbols_free(k->symbols);
}

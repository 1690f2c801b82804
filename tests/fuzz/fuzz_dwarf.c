/* Any bytes as a module's file, and the whole symbolizer over it: names, lines, inlined calls. libdw 0.188 reads the DWARF, and is
 * not proof against all bytes: a crash inside it is its own. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dwarf_frames.h"
#include "snapshot_build.h"
#include "symbolize.h"

enum { STEP = 8, ADDRESSES = 0x400 };
static const uint64_t bases[] = { 0, 0x1000, 0x400000, 0x401000 }; /* where the linker puts small programs' code */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct symbolizer *s, uint64_t pc)
{
	const struct symbol_frame *f;
	size_t n;

	assert(symbolizer_frames(s, pc, &f, &n) == 0);
	assert(n >= 1 && n <= DWARF_MAX_INLINE && !f[n - 1].inlined);
	for (size_t i = 0; i < n; i++)
		assert(f[i].function && f[i].function[0] && (!f[i].file || strlen(f[i].file) < (size_t)-1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	struct symbolizer *s = NULL;
	struct symbols_state state;
	struct err err = { 0 };
	struct model model;
	char path[64];
	struct model_module module = { .end = UINT64_MAX, .load_ns = 1, .path = path };

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	model = build_empty();
	model.modules = &module;
	model.module_count = 1;
	assert(symbolizer_new(&model, NULL, &s, &err) == 0);
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		for (uint64_t at = 0; at < ADDRESSES; at += STEP)
			ask(s, bases[i] + at);
	symbolizer_state(s, 0, &state);
	assert(state.kind == SYMBOLS_DEBUG || state.why[0]); /* what is missing is said */
	symbolizer_free(s);
	assert(close(fd) == 0);
	return 0;
}

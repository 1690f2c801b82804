/* Any bytes as a file of the symbol cache, as they are and with their checksum put right: refused, or every address in it is
 * answered with strings that end. What was read can be written, and reads back the same. */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "symbol_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t pc_at(const struct symbol_file *f, size_t i)
{
	uint64_t pc;

	memcpy(&pc, f->pcs + i * sizeof(pc), sizeof(pc));
	return pc;
}

static void check_frames(const struct symbol_frame *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert(strlen(frames[i].function) < (size_t)-1 &&
		       (!frames[i].file || strlen(frames[i].file) < (size_t)-1));
}

static void check(const struct symbol_file *f, const char *identity)
{
	static struct symbol_frame frames[SYMBOL_FILE_MAX_FRAMES], again[SYMBOL_FILE_MAX_FRAMES];
	struct symbol_file copy;
	struct buf out = { 0 };

	assert(symbol_file_write(&out, identity, f->kind, NULL, 0, f));
	assert(symbol_file_parse(&copy, out.data, out.len, identity));
	for (size_t i = 0; i < f->pc_count; i++) {
		size_t n = symbol_file_find(f, pc_at(f, i), frames), m;

		check_frames(frames, n);
		m = symbol_file_find(&copy, pc_at(f, i), again);
		assert(m <= SYMBOL_FILE_MAX_FRAMES);
		check_frames(again, m);
	}
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char identity[] = "fuzz";
	char *copy = malloc(size ? size : 1);
	struct symbol_file f;

	assert(copy);
	memcpy(copy, data, size);
	if (symbol_file_parse(&f, copy, size, identity))
		check(&f, identity);
	symbol_file_seal(copy, size);
	if (symbol_file_parse(&f, copy, size, identity))
		check(&f, identity);
	free(copy);
	return 0;
}

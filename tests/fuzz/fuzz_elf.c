/* Any bytes as a module's file: its functions by .symtab, .dynsym, PLT and .eh_frame_hdr, found at addresses all over it. What is
 * found lies where it was asked for; names are strings. Memory is libelf's view of the file. Only libelf and our own code. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_source.h"
#include "elf_starts.h"
#include "elf_symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct elf_symbols *symbols, const struct elf_starts *starts, uint64_t address)
{
	const struct elf_symbol *s = elf_symbols_find(symbols, address);
	uint64_t start;

	if (s)
		assert(s->start <= address && address < s->end && s->name[0] && strlen(s->name) < (size_t)-1);
	if (elf_starts_find(starts, address, &start))
		assert(start <= address);
}

static void check(const struct elf_source *source, size_t size)
{
	struct elf_symbols symbols = { 0 };
	struct elf_starts starts = { 0 };
	struct arena names = { 0 };

	assert(elf_symbols_load(&symbols, source, &names));
	assert(elf_starts_load(&starts, source));
	/* Memory follows the file, not what it claims; 1024 is the least that is made. */
	assert((symbols.cap <= 1024 || symbols.cap <= size) && starts.count <= size);
	for (size_t i = 0; i < symbols.count; i++) {
		assert(i == 0 || symbols.list[i - 1].start < symbols.list[i].start);
		ask(&symbols, &starts, symbols.list[i].start);
		ask(&symbols, &starts, symbols.list[i].end - 1);
	}
	for (size_t i = 0; i < starts.count; i++) {
		ask(&symbols, &starts, starts.list[i].start);
		ask(&symbols, &starts, starts.list[i].end);
	}
	ask(&symbols, &starts, 0);
	ask(&symbols, &starts, UINT64_MAX);
	elf_starts_done(&starts);
	elf_symbols_done(&symbols);
	arena_done(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	static struct elf_source source;
	char path[64], why[600] = "";

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (elf_source_open(NULL, path, NULL, 0, &source, why, sizeof(why)))
		check(&source, size);
	else
		assert(why[0]); /* a refusal without a reason is a bug */
	elf_source_done(&source);
	assert(close(fd) == 0);
	return 0;
}

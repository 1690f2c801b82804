/* Tests of symtab.c: with this very program, which has symbols, and with files made of it that lie. */
#include "t.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>

#include "symtab.h"

enum { FIRST, TAIL, VARIABLE, UNDEFINED, NOWHERE, LONGER, COUNT };
static const char *const names[COUNT] = { "symtab_first", "first",        "symtab_variable",
	                                  "memfd_create", "no_such_name", "symtab_first_and_more" };
static struct symtab search;

int symtab_first(void);
int symtab_first_and_more(void);
int other_symtab_first(void);
int symtab_variable = 1;

int symtab_first(void)
{
	return 1;
}

int symtab_first_and_more(void)
{
	return 2;
}

/* Its end is stored once for all three by linkers that share. */
int other_symtab_first(void)
{
	return 3;
}

/* ---- the program's file, and copies ---------------------------------------------------------------------------------- */

static uint8_t *file;
static size_t file_bytes;
static const ElfW(Phdr) * phdr;
static unsigned phdr_count;

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	phdr = info->dlpi_phdr;
	phdr_count = info->dlpi_phnum;
	return 1;
}

static int read_program(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	file_bytes = (size_t)st.st_size;
	file = malloc(file_bytes);
	assert_non_null(file);
	for (size_t n = 0; n < file_bytes;) {
		ssize_t got = pread(fd, file + n, file_bytes - n, (off_t)n);

		assert_true(got > 0);
		n += (size_t)got;
	}
	(void)close(fd);
	(void)dl_iterate_phdr(first_object, NULL);
	return 0;
}

static int free_program(void **state)
{
	(void)state;
	free(file);
	return 0;
}

/* A file of its own with these bytes. */
static int copy_of(const void *data, size_t bytes)
{
	int fd = memfd_create("symtab", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t n = 0; n < bytes;) {
		ssize_t put = pwrite(fd, (const char *)data + n, bytes - n, (off_t)n);

		assert_true(put > 0);
		n += (size_t)put;
	}
	return fd;
}

static int find_in(int fd, const char *const *of, unsigned count, uint64_t budget, uint64_t *ret_found)
{
	int rc;

	memset(&search, 0, sizeof(search));
	search.names = of;
	search.name_count = count;
	search.budget = budget;
	rc = symtab_find(&search, fd, phdr, phdr_count, ret_found);
	assert_true(search.budget <= budget);
	return rc;
}

/* ---- files as they should be ----------------------------------------------------------------------------------------- */

static void functions_are_found_by_their_whole_names(void **state)
{
	int fd = copy_of(file, file_bytes);
	uint64_t found = 0;

	(void)state;
	assert_int_equal(symtab_first() + symtab_first_and_more() + other_symtab_first(), 6);
	assert_int_equal(find_in(fd, names, COUNT, UINT64_MAX, &found), 0);
	assert_int_equal(found, 1 << FIRST | 1 << LONGER); /* no tail, no variable, nothing undefined */
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);       /* the descriptor's position is its owner's */
	(void)close(fd);
}

static ElfW(Ehdr) * header_of(void *data)
{
	return data;
}

static ElfW(Shdr) * section_of(uint8_t *data, unsigned type)
{
	ElfW(Shdr) *s = (ElfW(Shdr) *)(data + header_of(data)->e_shoff);

	for (unsigned i = 0; i < header_of(data)->e_shnum; i++)
		if (s[i].sh_type == type)
			return &s[i];
	fail_msg("no section of type %u", type);
	return NULL;
}

static void a_stripped_file_has_none(void **state)
{
	uint64_t found = 1;
	uint8_t *data = malloc(file_bytes);
	int fd;

	(void)state;
	assert_non_null(data);
	memcpy(data, file, file_bytes);
	section_of(data, SHT_SYMTAB)->sh_type = SHT_NULL;
	fd = copy_of(data, file_bytes);
	assert_int_equal(find_in(fd, names, COUNT, 1 << 20, &found), 0);
	assert_int_equal(found, 0);
	assert_true((1 << 20) - search.budget < 8192); /* headers only */
	(void)close(fd);

	memcpy(data, file, file_bytes);
	header_of(data)->e_shoff = 0; /* sstrip */
	header_of(data)->e_shnum = 0;
	found = 1;
	fd = copy_of(data, file_bytes);
	assert_int_equal(find_in(fd, names, COUNT, 1 << 20, &found), 0);
	assert_int_equal(found, 0);
	(void)close(fd);
	free(data);
}

/* A string table of `count` strings that end in "first", in front of which stand the program's own headers. */
static int made_file(unsigned strings, unsigned symbols_at, uint64_t *ret_bytes)
{
	size_t head = sizeof(ElfW(Ehdr)) + phdr_count * sizeof(*phdr), each = 24, table = strings * each;
	size_t bytes = head + 2 * sizeof(ElfW(Shdr)) + table + sizeof(ElfW(Sym));
	uint8_t *data = calloc(1, bytes);
	ElfW(Ehdr) *header = header_of(data);
	ElfW(Shdr) *s = (ElfW(Shdr) *)(data + head);
	char *text = (char *)(s + 2);
	ElfW(Sym) symbol = { .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC), .st_shndx = 1 };
	int fd;

	assert_non_null(data);
	memcpy(data, file, sizeof(*header));
	header->e_phoff = sizeof(*header);
	header->e_shoff = head;
	header->e_shnum = 2;
	memcpy(header + 1, phdr, phdr_count * sizeof(*phdr));
	s[0] = (ElfW(Shdr)){ .sh_type = SHT_SYMTAB,
		             .sh_link = 1,
		             .sh_entsize = sizeof(symbol),
		             .sh_offset = head + 2 * sizeof(*s) + table,
		             .sh_size = sizeof(symbol) };
	s[1] = (ElfW(Shdr)){ .sh_type = SHT_STRTAB, .sh_offset = head + 2 * sizeof(*s), .sh_size = table };
	for (unsigned i = 0; i < strings; i++)
		memcpy(text + i * each, "of_a_name_it_is_first", 22); /* 21 and the 0; "first" begins at 16 */
	symbol.st_name = (ElfW(Word))(symbols_at * each + 16);
	memcpy(text + table, &symbol, sizeof(symbol));
	fd = copy_of(data, bytes);
	free(data);
	*ret_bytes = bytes;
	return fd;
}

/* The string table is read in pieces: a name may lie across any border. */
static void names_across_pieces_are_found(void **state)
{
	const unsigned per_piece = SYMTAB_CHUNK / 24;
	const unsigned places[] = { 0, 1, 700, SYMTAB_ENDS - 1 };
	uint64_t found, bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int fd = made_file(SYMTAB_ENDS, places[i], &bytes);

		found = 0;
		assert_int_equal(find_in(fd, names, COUNT, bytes + 4096, &found), 0);
		assert_int_equal(found, 1 << TAIL);
		(void)close(fd);
	}
	/* more places than are kept: what comes later is not seen, and nothing else happens */
	{
		int fd = made_file(2 * per_piece, 2 * per_piece - 1, &bytes);

		found = 1;
		assert_int_equal(find_in(fd, names, COUNT, bytes + 4096, &found), 0);
		assert_int_equal(found, 0);
		(void)close(fd);
	}
}

/* One string of the name alone, moved through the border between two pieces, byte by byte. */
static void a_name_at_every_distance_from_a_border(void **state)
{
	size_t head = sizeof(ElfW(Ehdr)) + phdr_count * sizeof(*phdr), table = 2 * SYMTAB_CHUNK + 7;
	size_t bytes = head + 2 * sizeof(ElfW(Shdr)) + table + sizeof(ElfW(Sym));
	uint8_t *data = calloc(1, bytes);
	ElfW(Shdr) *s = (ElfW(Shdr) *)(data + head);
	ElfW(Sym) symbol = { .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC), .st_shndx = 1 };

	(void)state;
	assert_non_null(data);
	memcpy(data, file, sizeof(ElfW(Ehdr)));
	header_of(data)->e_phoff = sizeof(ElfW(Ehdr));
	header_of(data)->e_shoff = head;
	header_of(data)->e_shnum = 2;
	memcpy(data + sizeof(ElfW(Ehdr)), phdr, phdr_count * sizeof(*phdr));
	s[0] = (ElfW(Shdr)){ .sh_type = SHT_SYMTAB,
		             .sh_link = 1,
		             .sh_entsize = sizeof(symbol),
		             .sh_offset = bytes - sizeof(symbol),
		             .sh_size = sizeof(symbol) };
	s[1] = (ElfW(Shdr)){ .sh_type = SHT_STRTAB, .sh_offset = head + 2 * sizeof(*s), .sh_size = table };
	for (unsigned at = SYMTAB_CHUNK - 16; at < SYMTAB_CHUNK + 4; at++) {
		uint64_t found = 0;
		int fd;

		memset(s + 2, 0, table);
		memcpy((char *)(s + 2) + at, "symtab_first", 13);
		symbol.st_name = at;
		memcpy(data + bytes - sizeof(symbol), &symbol, sizeof(symbol));
		fd = copy_of(data, bytes);
		assert_int_equal(find_in(fd, names, COUNT, bytes + 4096, &found), 0);
		assert_int_equal(found, 1 << FIRST);
		(void)close(fd);
	}
	free(data);
}

/* ---- files that lie -------------------------------------------------------------------------------------------------- */

static void check_refused(const char *row, const uint8_t *data, size_t bytes, int expected)
{
	int fd = copy_of(data, bytes), rc;
	uint64_t found = 77;

	rc = find_in(fd, names, COUNT, 1 << 24, &found);
	if (rc != expected)
		fail_msg("%s: %d, not %d", row, rc, expected);
	T_CHECK(row, found == 77); /* untouched */
	(void)close(fd);
}

static void what_lies_is_refused(void **state)
{
	uint8_t *d = malloc(file_bytes);
	const size_t symtab = (size_t)((uint8_t *)section_of(file, SHT_SYMTAB) - file);
	ElfW(Shdr) * s;

	(void)state;
	assert_non_null(d);
#define LIE(change, expected)                                    \
	do {                                                     \
		memcpy(d, file, file_bytes);                     \
		s = (void *)(d + symtab);                        \
		change;                                          \
		check_refused(#change, d, file_bytes, expected); \
	} while (0)
	LIE(d[0] = 'x', -ENOEXEC);
	LIE(header_of(d)->e_phnum++, -ENOEXEC);
	LIE(header_of(d)->e_phnum = 0, -ENOEXEC);
	LIE(header_of(d)->e_phentsize = 1, -ENOEXEC);
	LIE(header_of(d)->e_phoff = UINT64_MAX - 3, -ENOEXEC);
	LIE(header_of(d)->e_phoff++, -ENOEXEC);
	LIE(d[header_of(d)->e_phoff] ^= 1, -ENOEXEC); /* another file */
	LIE(header_of(d)->e_shoff = UINT64_MAX, -ENOEXEC);
	LIE(header_of(d)->e_shoff = file_bytes - 10, -ENOEXEC);
	LIE(header_of(d)->e_shentsize = 1, -ENOEXEC);
	LIE(s->sh_entsize = 0, -ENOEXEC);
	LIE(s->sh_link = 0xffffffff, -ENOEXEC);
	LIE(s->sh_link = 0, -ENOEXEC);
	LIE(s->sh_offset = UINT64_MAX - 8, -ENOEXEC);
	LIE(s->sh_size = UINT64_MAX, -EFBIG);
	LIE(s->sh_size = (1 << 24) + 1, -EFBIG);
	LIE(s->sh_size = file_bytes, -ENOEXEC);
	LIE(section_of(d, SHT_STRTAB)[0].sh_type = SHT_NOTE; s->sh_link = 0, -ENOEXEC);
#undef LIE
	check_refused("empty", d, 0, -ENOEXEC);
	check_refused("cut", file, header_of(file)->e_shoff + 3, -ENOEXEC);
	free(d);
}

static void what_is_no_file_is_refused(void **state)
{
	uint64_t found = 77;
	int pipes[2], fd = open("/", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_true(fd >= 0);
	assert_int_equal(find_in(pipes[0], names, COUNT, 1 << 20, &found), -ENOEXEC);
	assert_int_equal(find_in(fd, names, COUNT, 1 << 20, &found), -ENOEXEC);
	(void)close(fd);
	assert_int_equal(find_in(fd, names, COUNT, 1 << 20, &found), -EBADF);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	assert_int_equal(found, 77);
}

static void no_more_is_read_than_allowed(void **state)
{
	const ElfW(Shdr) *symbols = section_of(file, SHT_SYMTAB);
	const ElfW(Shdr) *all = (const ElfW(Shdr) *)(file + header_of(file)->e_shoff);
	uint64_t tables = symbols->sh_size + all[symbols->sh_link].sh_size, headers = 8192, found = 77;
	int fd = copy_of(file, file_bytes);

	(void)state;
	for (uint64_t budget = 0; budget < tables; budget += tables / 64 + 1)
		assert_int_equal(find_in(fd, names, COUNT, budget, &found), -EFBIG);
	assert_int_equal(found, 77);
	assert_int_equal(find_in(fd, names, COUNT, tables + headers, &found), 0);
	assert_int_equal(found, 1 << FIRST | 1 << LONGER);
	(void)close(fd);
}

/* Headers with bytes of chance in them: any answer, but within the file and the budget (the sanitizers look on). */
static void chance_does_no_harm(void **state)
{
	const size_t sections = header_of(file)->e_shoff, rows = header_of(file)->e_shnum * sizeof(ElfW(Shdr));
	uint32_t seed = 12345;
	int fd = copy_of(file, file_bytes);

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		size_t at;
		uint8_t byte;
		uint64_t found = 0;

		seed = seed * 1664525 + 1013904223;
		at = round % 3 ? sections + (seed >> 8) % rows : (seed >> 8) % sizeof(ElfW(Ehdr));
		byte = (uint8_t)(seed >> 3);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		(void)find_in(fd, names, COUNT, 1 << 22, &found);
		assert_true(found < 1 << COUNT);
		if (round % 8 == 7) /* from good bytes again */
			assert_true(pwrite(fd, file, sizeof(ElfW(Ehdr)), 0) > 0 &&
			            pwrite(fd, file + sections, rows, (off_t)sections) > 0);
	}
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found_by_their_whole_names),
		cmocka_unit_test(a_stripped_file_has_none),
		cmocka_unit_test(names_across_pieces_are_found),
		cmocka_unit_test(a_name_at_every_distance_from_a_border),
		cmocka_unit_test(what_lies_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(no_more_is_read_than_allowed),
		cmocka_unit_test(chance_does_no_harm),
	};

	return cmocka_run_group_tests(tests, read_program, free_program);
}

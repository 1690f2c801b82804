/* The symbolizer against programs compiled for this test, with nm and addr2line as the oracles.
 * The programs' paths come from CMake; what is derived from them (stripped copies, debug files) is made in a directory of
 * its own with binutils. */
#include "t.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <time.h>

#include "symbolize.h"
#include "snapshot_build.h"

#define BIAS UINT64_C(0x7f1200000000)

static char work[] = "/tmp/perfprobe-symbols-XXXXXX";

struct loaded {
	struct model model;
	struct model_module module;
	struct symbolizer *s;
};

static void load(struct loaded *l, const char *path, const uint8_t *id, size_t id_bytes)
{
	struct err err = { 0 };

	memset(l, 0, sizeof(*l));
	l->model = build_empty();
	l->module = (struct model_module){
		.start = BIAS,
		.end = BIAS + 0x10000000,
		.bias = BIAS,
		.load_ns = 1,
		.path = path,
		.build_id_bytes = (uint32_t)id_bytes,
	};
	if (id_bytes)
		memcpy(l->module.build_id, id, id_bytes);
	l->model.modules = &l->module;
	l->model.module_count = 1;
	assert_int_equal(symbolizer_new(&l->model, NULL, &l->s, &err), 0);
}

static size_t build_id_of(const char *path, uint8_t id[SNAP_MAX_BUILD_ID])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const void *bytes;
	Elf *elf;
	ssize_t n;

	assert_true(fd >= 0);
	(void)elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	n = dwelf_elf_gnu_build_id(elf, &bytes);
	assert_true(n > 0 && n <= SNAP_MAX_BUILD_ID);
	memcpy(id, bytes, (size_t)n);
	elf_end(elf);
	close(fd);
	return (size_t)n;
}

static struct symbols_state state_of(struct loaded *l)
{
	struct symbols_state st;

	symbolizer_state(l->s, 0, &st);
	return st;
}

static const char *name_at(struct loaded *l, uint64_t address)
{
	const struct symbol_frame *f;
	size_t n;

	assert_int_equal(symbolizer_frames(l->s, BIAS + address, &f, &n), 0);
	assert_true(n >= 1);
	assert_true(f[n - 1].offset == address);
	assert_false(f[n - 1].inlined);
	return f[n - 1].function;
}

static void shell(const char *format, const char *a, const char *b)
{
	char command[2 * PATH_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(command, sizeof(command), format, a, b);
#pragma GCC diagnostic pop
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* Address of a symbol, from nm; its size if wanted. */
static uint64_t address_of(const char *path, const char *symbol, uint64_t *ret_size)
{
	char command[PATH_MAX + 64], line[4096];
	uint64_t found = 0;
	FILE *nm;

	(void)snprintf(command, sizeof(command), "nm -S --defined-only '%s'", path);
	nm = popen(command, "r");
	assert_non_null(nm);
	while (fgets(line, sizeof(line), nm)) {
		uint64_t start, size;
		char type, name[2048];

		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %c %2047s", &start, &size, &type, name) == 4 &&
		    strcmp(name, symbol) == 0) {
			found = start;
			if (ret_size)
				*ret_size = size;
		}
	}
	assert_int_equal(pclose(nm), 0);
	return found;
}

/* Every byte of every function that nm tells has nm's name, where names are plain C and not split into parts. */
static void names_agree_with_nm(void **state)
{
	static const char *const functions[] = { "main", "outer", "hidden", "public_alias" };
	struct loaded l;

	(void)state;
	load(&l, SYMBOLS_C, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		uint64_t size = 0, start = address_of(SYMBOLS_C, functions[i], &size);

		T_CHECK(functions[i], start != 0 && size != 0);
		for (uint64_t at = 0; at < size; at++)
			T_STR(functions[i], name_at(&l, start + at), functions[i]);
	}
	assert_int_equal(state_of(&l).kind, SYMBOLS_DEBUG);
	symbolizer_free(l.s);
}

/* Functions, files and lines of one address as addr2line -i -f prints them: two lines a frame. */
static void compare_with_addr2line(struct loaded *l, uint64_t address, FILE *from, size_t *inlined)
{
	const struct symbol_frame *f;
	char function[4096], place[PATH_MAX + 64];
	size_t n;

	assert_int_equal(symbolizer_frames(l->s, BIAS + address, &f, &n), 0);
	*inlined += n - 1;
	for (size_t i = 0; i < n; i++) {
		const char *slash, *want_file;
		unsigned want_line = 0;

		assert_non_null(fgets(function, sizeof(function), from));
		assert_non_null(fgets(place, sizeof(place), from));
		function[strcspn(function, "\n")] = '\0';
		slash = strrchr(place, '/');
		want_file = slash ? slash + 1 : place;
		if (strchr(want_file, ':'))
			(void)sscanf(strchr(want_file, ':') + 1, "%u", &want_line);
		if (strcmp(f[i].function, function) != 0 || f[i].line != want_line)
			fail_msg("0x%" PRIx64 " frame %zu: %s line %u, addr2line has %s line %u", address, i,
			         f[i].function, f[i].line, function, want_line);
		slash = f[i].file ? strrchr(f[i].file, '/') : NULL;
		if (want_line)
			assert_true(slash && strncmp(slash + 1, want_file, strlen(slash + 1)) == 0);
		assert_int_equal(f[i].inlined, i + 1 < n);
	}
}

static void inlines_agree_with_addr2line(void **state)
{
	static const char *const functions[] = { "main", "outer", "hidden", "public_alias" };
	size_t inlined = 0, compared = 0;
	struct loaded l;

	(void)state;
	load(&l, SYMBOLS_C, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		uint64_t size = 0, start = address_of(SYMBOLS_C, functions[i], &size);
		char command[PATH_MAX + 128];
		FILE *oracle;

		(void)snprintf(command, sizeof(command),
		               "for i in $(seq %" PRIu64 " %" PRIu64
		               "); do printf '%%x\\n' $i; done | addr2line -i -f -e '%s'",
		               start, start + size - 1, SYMBOLS_C);
		oracle = popen(command, "r");
		assert_non_null(oracle);
		for (uint64_t at = 0; at < size; at++, compared++)
			compare_with_addr2line(&l, start + at, oracle, &inlined);
		assert_int_equal(fgetc(oracle), EOF); /* as many frames as addr2line, not fewer */
		assert_int_equal(pclose(oracle), 0);
	}
	assert_true(compared > 100 && inlined > compared / 4); /* the program has what this is about */
	symbolizer_free(l.s);
}

static void a_different_build_is_refused(void **state)
{
	uint8_t id[SNAP_MAX_BUILD_ID];
	size_t n = build_id_of(SYMBOLS_C, id);
	uint64_t start = address_of(SYMBOLS_C, "outer", NULL);
	struct loaded l;
	char want[64];

	(void)state;
	load(&l, SYMBOLS_C, id, n);
	assert_string_equal(name_at(&l, start), "outer");
	assert_string_equal(state_of(&l).why, "");
	symbolizer_free(l.s);
	id[n - 1] ^= 1;
	load(&l, SYMBOLS_C, id, n);
	(void)snprintf(want, sizeof(want), "symbols_c+0x%" PRIx64, start);
	assert_string_equal(name_at(&l, start), want);
	assert_int_equal(state_of(&l).kind, SYMBOLS_NONE);
	assert_non_null(strstr(state_of(&l).why, "another build"));
	symbolizer_free(l.s);
}

static void missing_and_odd_files(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {
		{ "/nowhere/lib.so", "does not exist" }, { "/dev/null", "not a regular file" },
		{ "/etc/passwd", "not an ELF file" },    { "[heap]", "no file belongs to it" },
		{ "", "no file belongs to it" },         { "relative/lib.so", "no file belongs to it" },
	};
	struct loaded l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		load(&l, cases[i].path, NULL, 0);
		T_CHECK(cases[i].path, strstr(name_at(&l, 0x1234), "+0x1234"));
		T_CHECK(cases[i].path, strstr(state_of(&l).why, cases[i].why));
		symbolizer_free(l.s);
	}
	load(&l, "[anon]", NULL, 0);
	l.module.flags = SNAP_MODULE_ANON;
	assert_string_equal(name_at(&l, 0x1234), "[anon]");
	symbolizer_free(l.s);
}

/* Stripped; then with its debug file beside it, by CRC; then with a wrong one; then with one found by .debug/. */
static void separate_debug_files(void **state)
{
	uint64_t size = 0, hidden = address_of(SYMBOLS_C, "hidden", &size);
	struct loaded l;
	char path[PATH_MAX], want[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/victim", work);
	shell(OBJCOPY " --remove-section=.note.gnu.build-id '%s' '%s/full'", SYMBOLS_C, work);
	shell("cd '%s' && " OBJCOPY " --only-keep-debug full v.debug 2>objcopy.log && " OBJCOPY
	      " --strip-all full victim%s",
	      work, "");
	load(&l, path, NULL, 0);
	(void)snprintf(want, sizeof(want), "victim+0x%" PRIx64, hidden);
	for (uint64_t at = 0; at < size; at++) /* by the function's begin, which .eh_frame_hdr tells */
		assert_string_equal(name_at(&l, hidden + at), want);
	assert_string_not_equal(name_at(&l, hidden + size), want);
	assert_int_equal(state_of(&l).kind, SYMBOLS_DYNAMIC); /* free@plt and the like */
	assert_non_null(strstr(state_of(&l).why, "stripped"));
	symbolizer_free(l.s);

	shell("cd '%s' && " OBJCOPY " --add-gnu-debuglink=v.debug victim%s", work, "");
	load(&l, path, NULL, 0);
	assert_string_equal(name_at(&l, hidden), "hidden");
	assert_int_equal(state_of(&l).kind, SYMBOLS_DEBUG);
	assert_non_null(strstr(state_of(&l).file, "/v.debug"));
	symbolizer_free(l.s);

	shell("cd '%s' && mkdir -p .debug && mv v.debug .debug/v.debug%s", work, "");
	load(&l, path, NULL, 0);
	assert_string_equal(name_at(&l, hidden), "hidden");
	assert_non_null(strstr(state_of(&l).file, "/.debug/v.debug"));
	symbolizer_free(l.s);

	shell("cd '%s' && printf x >> .debug/v.debug%s", work, "");
	load(&l, path, NULL, 0);
	assert_string_equal(name_at(&l, hidden), want);
	symbolizer_free(l.s);
}

/* Without debug information there are names still; an alias is called by its plain name; imports have PLT names. */
static void tables_without_debug(void **state)
{
	uint64_t start = address_of(SYMBOLS_C, "public_alias", NULL);
	char path[PATH_MAX], line[4096], command[2 * PATH_MAX];
	unsigned plt = 0;
	struct loaded l;
	FILE *dump;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/nodebug", work);
	shell(OBJCOPY " --strip-debug '%s' '%s'", SYMBOLS_C, path);
	load(&l, path, NULL, 0);
	assert_string_equal(name_at(&l, start), "public_alias");
	assert_int_equal(state_of(&l).kind, SYMBOLS_TABLE);
	(void)snprintf(command, sizeof(command), OBJDUMP " -d --no-show-raw-insn '%s' | grep '@plt>:'", path);
	dump = popen(command, "r");
	assert_non_null(dump);
	while (fgets(line, sizeof(line), dump)) {
		uint64_t address;
		char name[256];

		assert_int_equal(sscanf(line, "%" SCNx64 " <%255[^>]>", &address, name), 2);
		if (strncmp(name, "*ABS*", 5) == 0)
			continue;
		T_STR(name, name_at(&l, address + 4), name);
		plt++;
	}
	assert_int_equal(pclose(dump), 0);
	assert_true(plt >= 3); /* malloc, free, puts, abort */
	symbolizer_free(l.s);
}

static bool has_function(const char *path, const char *name)
{
	struct loaded l;
	char command[PATH_MAX + 64], line[4096];
	bool found = false;
	FILE *nm;

	load(&l, path, NULL, 0);
	(void)snprintf(command, sizeof(command), "nm --defined-only '%s'", path);
	nm = popen(command, "r");
	assert_non_null(nm);
	while (fgets(line, sizeof(line), nm)) {
		uint64_t address;
		char type;

		if (sscanf(line, "%" SCNx64 " %c", &address, &type) == 2 && (type == 'T' || type == 't' || type == 'W'))
			found |= strcmp(name_at(&l, address), name) == 0;
	}
	assert_int_equal(pclose(nm), 0);
	symbolizer_free(l.s);
	return found;
}

static void other_languages(void **state)
{
	(void)state;
#ifdef SYMBOLS_CXX
	assert_true(has_function(SYMBOLS_CXX, "int server::Worker::handle<int>(int const&)"));
	assert_true(has_function(SYMBOLS_CXX, "server::Worker::call(int) const"));
#endif
#ifdef SYMBOLS_RUST
	assert_true(has_function(SYMBOLS_RUST,
	                         "<symbols_rust::server::Worker<u32> as symbols_rust::server::Handle>::handle"));
	assert_true(has_function(SYMBOLS_RUST, "symbols_rust::main"));
#endif
}

/* Two modules one after the other at one address, a third inside a hole of the first, and nothing. */
static void the_module_loaded_last_owns_the_address(void **state)
{
	struct model m = build_empty();
	struct model_module modules[] = {
		{ .start = 0x10000, .end = 0x90000, .bias = 0x10000, .load_ns = 10, .path = "/x/outer.so" },
		{ .start = 0x30000, .end = 0x40000, .bias = 0x30000, .load_ns = 30, .path = "/x/late.so" },
		{ .start = 0x30000,
		  .end = 0x50000,
		  .bias = 0x30000,
		  .load_ns = 20,
		  .unload_ns = 25,
		  .path = "/x/early.so" },
		{ .start = 0x90000, .end = 0x90000, .bias = 0, .load_ns = 99, .path = "/x/empty.so" },
		{ .start = 0xa0000, .end = 0xb0000, .bias = 0xa0000, .load_ns = 5, .path = "/x/twin1.so" },
		{ .start = 0xa0000, .end = 0xb0000, .bias = 0xa0000, .load_ns = 5, .path = "/x/twin2.so" },
		{ .start = UINT64_MAX - 10, .end = UINT64_MAX, .bias = 0, .load_ns = 5, .path = "/x/top.so" },
	};
	static const struct {
		uint64_t pc;
		const char *want;
	} cases[] = {
		{ 0xffff, "[unmapped]" },
		{ 0x10000, "outer.so+0x0" },
		{ 0x2ffff, "outer.so+0x1ffff" },
		{ 0x30000, "late.so+0x0" },
		{ 0x3ffff, "late.so+0xffff" },
		{ 0x40000, "early.so+0x10000" },
		{ 0x50000, "outer.so+0x40000" },
		{ 0x8ffff, "outer.so+0x7ffff" },
		{ 0x90000, "[unmapped]" },
		{ 0xa0001, "twin2.so+0x1" },
		{ SNAP_PC_KERNEL - 1, "[unmapped]" },
		{ UINT64_MAX, "[kernel]" },
		{ 0x1, "[truncated]" },
		{ 0x2, "[lost]" },
		{ 0x3, "[perfprobe]" },
		{ 0x4, "[... frames left out]" },
		{ 0xfff, "[special]" },
		{ 0x1000, "[unmapped]" },
	};
	struct symbolizer *s;
	struct err err = { 0 };

	(void)state;
	m.modules = modules;
	m.module_count = ARRAY_LEN(modules);
	assert_int_equal(symbolizer_new(&m, NULL, &s, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct symbol_frame *f;
		size_t n;

		assert_int_equal(symbolizer_frames(s, cases[i].pc, &f, &n), 0);
		assert_int_equal(n, 1);
		T_STR(cases[i].want, f[0].function, cases[i].want);
	}
	symbolizer_free(s);
}

/* The running kernel's vdso by its build-id; another kernel's not. */
static void vdso(void **state)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	struct loaded l;

	(void)state;
	if (!base)
		skip();
	load(&l, "[vdso]", (const uint8_t *)"another kernel", 14);
	l.module.flags = SNAP_MODULE_VDSO;
	assert_string_equal(name_at(&l, 0x700), "[vdso]+0x700");
	assert_non_null(strstr(state_of(&l).why, "another kernel"));
	symbolizer_free(l.s);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Thousands of addresses of a large stripped library take well under a second: libc is always there. */
static void many_addresses_are_fast(void **state)
{
	const char *path = "/lib/x86_64-linux-gnu/libc.so.6";
	size_t named = 0;
	struct loaded l;
	double start;

	(void)state;
	if (access(path, R_OK) != 0)
		skip();
	load(&l, path, NULL, 0);
	start = seconds();
	for (uint64_t i = 0; i < 5000; i++)
		named += strstr(name_at(&l, 0x30000 + i * 241), "+0x") == NULL;
	print_message("5000 addresses, %zu named, %.3f s, symbols from %s %s\n", named, seconds() - start,
	              symbols_kind_name(state_of(&l).kind), state_of(&l).file);
	assert_true(named > 1000);
	assert_true(seconds() - start < 20); /* a broken index takes minutes; sanitizers are slow */
	symbolizer_free(l.s);
}

static int make_work(void **state)
{
	(void)state;
	return mkdtemp(work) ? 0 : -1;
}

static int remove_work(void **state)
{
	(void)state;
	shell("rm -rf '%s'%s", work, "");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_agree_with_nm),
		cmocka_unit_test(inlines_agree_with_addr2line),
		cmocka_unit_test(a_different_build_is_refused),
		cmocka_unit_test(missing_and_odd_files),
		cmocka_unit_test(separate_debug_files),
		cmocka_unit_test(tables_without_debug),
		cmocka_unit_test(other_languages),
		cmocka_unit_test(the_module_loaded_last_owns_the_address),
		cmocka_unit_test(vdso),
		cmocka_unit_test(many_addresses_are_fast),
	};

	return cmocka_run_group_tests(tests, make_work, remove_work);
}

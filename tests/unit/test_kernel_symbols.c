/* Names of the kernel's functions by lines as /proc/kallsyms has them. */
#include "t.h"
#include <stdio.h>
#include "kernel_symbols.h"

static struct kernel_symbols *read_text(const char *text)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct kernel_symbols *k = kernel_symbols_read(f);

	assert_non_null(f);
	assert_non_null(k);
	(void)fclose(f);
	return k;
}

static void functions_by_address(void **state)
{
	struct kernel_symbols *k = read_text("ffffffff81000200 T vfs_read\n"
	                                     "ffffffff81000100 T _text\n"
	                                     "ffffffff81000180 D some_data\n"
	                                     "ffffffffc0000000 t ext4_readdir\t[ext4]\n"
	                                     "ffffffff81000300 w weak_one\n"
	                                     "not a line\n"
	                                     "ffffffff81000400\n"
	                                     "0000000000000000 A fixed_percpu_data\n");
	const struct {
		uint64_t address;
		const char *name, *module;
	} rows[] = {
		{ 0xffffffff810000ff, NULL, NULL },
		{ 0xffffffff81000100, "_text", "[kernel]" },
		{ 0xffffffff810001ff, "_text", "[kernel]" },
		{ 0xffffffff81000200, "vfs_read", "[kernel]" },
		{ 0xffffffff81000450, "weak_one", "[kernel]" },
		{ 0xffffffffc0000010, "ext4_readdir", "[ext4]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *module = NULL, *name = kernel_symbols_find(k, rows[i].address, &module);

		if (!rows[i].name) {
			assert_null(name);
			continue;
		}
		assert_string_equal(name, rows[i].name);
		assert_string_equal(module, rows[i].module);
	}
	kernel_symbols_free(k);
}

/* To who may not know, all addresses are 0: then there are no names. */
static void hidden_addresses_are_no_names(void **state)
{
	struct kernel_symbols *k = read_text("0000000000000000 T _text\n0000000000000000 T vfs_read\n");
	const char *module;

	(void)state;
	assert_null(kernel_symbols_find(k, 0xffffffff81000100, &module));
	kernel_symbols_free(k);
	assert_null(kernel_symbols_find(NULL, 0xffffffff81000100, &module));
	kernel_symbols_free(NULL);
}

static void another_run_of_the_kernel_has_other_addresses(void **state)
{
	struct kernel_symbols *k = kernel_symbols_new("00000000-0000-0000-0000-000000000000");
	const char *module;

	(void)state;
	assert_null(kernel_symbols_find(k, UINT64_MAX - 4096, &module));
	kernel_symbols_free(k);
	k = kernel_symbols_new("");
	assert_null(kernel_symbols_find(k, UINT64_MAX - 4096, &module));
	kernel_symbols_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_by_address),
		cmocka_unit_test(hidden_addresses_are_no_names),
		cmocka_unit_test(another_run_of_the_kernel_has_other_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

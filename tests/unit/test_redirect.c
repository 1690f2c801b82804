/* Tests of redirect.c and objects.c with real libraries: what is bound, what is bound later, what is loaded later. */
#include "t.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

#include "objects.h"
#include "redirect.h"

static int (*real_sample)(int n);
static int (*real_absent)(int n);

static int hook(int n)
{
	return real_sample(n) + 1000;
}

/* The program has one too: it must not count as a definition. */
__attribute__((visibility("default"))) int redirect_of_the_program(int n);
int redirect_of_the_program(int n)
{
	return n;
}

static void *load(const char *name, int how)
{
	char path[512];
	void *handle;

	(void)snprintf(path, sizeof(path), "%s/libredirect_%s.so", LIBRARIES, name);
	handle = dlopen(path, how);
	if (!handle)
		fail_msg("%s", dlerror());
	return handle;
}

static int call(void *handle, const char *name, int n)
{
	int (*fn)(int) = NULL;

	*(void **)&fn = dlsym(handle, name);
	assert_non_null(fn);
	return fn(n);
}

static int call_by_pointer(void *handle, int n)
{
	int (**fn)(int) = dlsym(handle, "redirect_pointer");

	assert_non_null(fn);
	return (*fn)(n);
}

static char protection_of(uintptr_t address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long lo, hi;
	char r, w = '?';

	while (maps && fscanf(maps, "%lx-%lx %c%c%*[^\n]", &lo, &hi, &r, &w) == 4 && !(address >= lo && address < hi))
		w = '?';
	if (maps)
		(void)fclose(maps);
	return w;
}

static void test_calls_are_led_to_the_hook(void **state)
{
	struct redirect table[] = {
		{ .name = "redirect_sample", .hook = (void *)hook, .real = (void **)&real_sample },
		{ .name = "redirect_nobody_has", .hook = (void *)hook, .real = (void **)&real_absent },
		{ .name = "redirect_of_the_program", .hook = (void *)hook, .real = (void **)&real_absent },
	};
	struct redirect front = { .name = "redirect_sample", .hook = (void *)hook, .in_front = true };
	struct redirect_result result;
	void *defines = load("defines", RTLD_LAZY | RTLD_GLOBAL), *now = load("now", RTLD_NOW | RTLD_LOCAL);
	void *lazy = load("lazy", RTLD_LAZY | RTLD_LOCAL), *later;

	(void)state;
	assert_int_equal(call(now, "redirect_call", 1), 2);
	assert_false(redirect_find(&front, 1, &result)); /* it comes after the program, which is "us" here */
	assert_int_equal(front.definition, 0);

	assert_true(redirect_find(table, 3, &result));
	assert_non_null(strstr(result.library, "libredirect_defines.so"));
	assert_true(table[0].definition != 0 && table[1].definition == 0 && table[2].definition == 0);
	redirect_apply(table, 3, &result);
	assert_true(result.done);
	assert_int_equal(result.names, 1);
	assert_int_equal(result.refused, 0);
	assert_true(result.references >= 3); /* one call and two pointers */
	assert_null(real_absent);

	assert_int_equal(call(now, "redirect_call", 1), 1002);
	assert_int_equal(call_by_pointer(now, 1), 1002);
	assert_int_equal(call(lazy, "redirect_call", 1), 1002); /* bound by this call */
	assert_int_equal(call_by_pointer(lazy, 1), 1002);
	assert_int_equal(call(lazy, "redirect_call", 2), 1003);
	later = load("later", RTLD_NOW | RTLD_LOCAL);
	assert_int_equal(call(later, "redirect_call", 1), 1002);
	assert_int_equal(call_by_pointer(later, 1), 1002);
	assert_int_equal(call(defines, "redirect_sample", 1), 1002); /* dlsym */
	assert_int_equal(call(defines, "redirect_itself", 1), 2);    /* itself, lazily */
	assert_int_equal(real_sample(1), 2);
}

struct look {
	uintptr_t symbol;
};

static int find_symbol(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object o;

	(void)size;
	if (strstr(info->dlpi_name, "libredirect_defines") && object_read(&o, info))
		((struct look *)arg)->symbol = (uintptr_t)object_function(&o, "redirect_sample");
	return 0;
}

/* After the other test: the page of the symbol table is read-only again. */
static void test_pages_are_left_as_they_were(void **state)
{
	struct look look = { 0 };

	(void)state;
	dl_iterate_phdr(find_symbol, &look);
	assert_true(look.symbol != 0);
	assert_int_equal(protection_of(look.symbol), '-');
	assert_int_equal(protection_of((uintptr_t)&look), 'w');
}

static void test_names_are_found_in_objects(void **state)
{
	(void)state;
	assert_true(objects_define("malloc"));
	assert_true(objects_define("dl_iterate_phdr"));
	assert_false(objects_define("redirect_of_the_program")); /* "ours" */
	assert_false(objects_define("no such name"));
	assert_false(objects_define(""));
	assert_false(objects_define_before_us("malloc")); /* the program is first */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_are_led_to_the_hook),
		cmocka_unit_test(test_pages_are_left_as_they_were),
		cmocka_unit_test(test_names_are_found_in_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of definition.c with libraries that define the same names, opened privately: each caller gets what the loader gave it. */
#include "t.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

#include "definition.h"

enum { ANSWER, BESIDE, NOWHERE };

static const struct definition_name answer = { "definition_answer", "libdefinition_one" };
static const struct definition_name nowhere = { "definition_nowhere", NULL };

typedef int answer_fn(void);
typedef const void *caller_fn(void);

static void *open_library(const char *name, int flags)
{
	char path[512];
	void *handle;

	(void)snprintf(path, sizeof(path), LIBRARIES "/libdefinition_%s.so", name);
	handle = dlopen(path, RTLD_NOW | flags);
	if (!handle)
		fail_msg("%s", dlerror());
	return handle;
}

static void *of(void *handle, const char *name)
{
	void *at = dlsym(handle, name);

	assert_non_null(at);
	return at;
}

static int answered(const void *caller)
{
	struct definition d = { 0 };

	errno = 4711;
	assert_true(definition_of(ANSWER, &answer, caller, &d));
	assert_int_equal(errno, 4711);
	return ((answer_fn *)d.function)();
}

static void none(void **state)
{
	struct definition d;

	(void)state;
	for (int i = 0; i < 2; i++) { /* not there is not kept */
		assert_false(definition_of(ANSWER, &answer, (const void *)none, &d));
		assert_false(definition_of(NOWHERE, &nowhere, (const void *)none, &d));
	}
}

static void one_opened_privately(void **state)
{
	void *one = open_library("one", RTLD_LOCAL);
	struct definition d;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(answered((const void *)one_opened_privately), 1);
	assert_true(definition_of(ANSWER, &answer, (const void *)none, &d));
	assert_ptr_equal(d.function, of(one, "definition_answer"));
	assert_false(d.inner || d.same);
	assert_true(definition_of(ANSWER, &answer, ((caller_fn *)of(one, "definition_place"))(), &d));
	assert_true(d.inner && d.same);
	assert_ptr_equal(definition_beside(BESIDE, "definition_place", d.function), of(one, "definition_place"));
	for (int i = 0; i < 2; i++)
		assert_null(definition_beside(NOWHERE, "definition_nowhere", d.function));
	assert_int_equal(dlclose(one), 0);
	definition_forget();
	assert_false(definition_of(ANSWER, &answer, (const void *)one_opened_privately, &d));
}

static void several(void **state)
{
	void *one = open_library("one", RTLD_LOCAL), *two = open_library("two", RTLD_LOCAL);
	void *user = open_library("user", RTLD_LOCAL); /* needs two, and defines nothing */
	struct definition d;

	(void)state;
	assert_int_equal(answered(((caller_fn *)of(one, "definition_place"))()), 1);
	assert_int_equal(answered(((caller_fn *)of(two, "definition_place"))()), 2);
	assert_int_equal(answered(((caller_fn *)of(user, "definition_user"))()), 2);
	assert_int_equal(answered((const void *)several), 1); /* the first loaded */
	assert_true(definition_of(ANSWER, &answer, ((caller_fn *)of(two, "definition_place"))(), &d));
	assert_true(d.same && !d.inner); /* another library's name */
	assert_int_equal(dlclose(user) | dlclose(two) | dlclose(one), 0);
	definition_forget();
}

/* A library opened for all comes before a caller's own, as it does for the loader. */
static void a_global_one(void **state)
{
	void *one = open_library("one", RTLD_LOCAL), *two = open_library("two", RTLD_GLOBAL);

	(void)state;
	assert_int_equal(answered(((caller_fn *)of(one, "definition_place"))()), 2);
	assert_int_equal(answered((const void *)several), 2);
	assert_null(dlerror());
	assert_int_equal(dlclose(two) | dlclose(one), 0);
	definition_forget();
}

/* More places than are kept: slower, and right. */
static void many_places(void **state)
{
	void *one = open_library("one", RTLD_LOCAL), *two = open_library("two", RTLD_LOCAL);
	const char *place = ((caller_fn *)of(two, "definition_place"))();

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 3000; i++) {
			assert_int_equal(answered((const char *)(uintptr_t)several + i % 50), 1);
			assert_int_equal(answered(place + i % 16), 2);
			assert_int_equal(answered((const void *)(uintptr_t)(4096 + i)), 1);
		}
	assert_int_equal(dlclose(two) | dlclose(one), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),         cmocka_unit_test(one_opened_privately), cmocka_unit_test(several),
		cmocka_unit_test(a_global_one), cmocka_unit_test(many_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

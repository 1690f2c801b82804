#include <stdlib.h>

#include "html_tree.h"
#include "profile.h"
#include "t.h"

static uint32_t function(struct html_tree *t, const char *name)
{
	struct profile_frame f = { name, "/bin/x", "/src/x.c", (uint32_t)name[0], 0, false };
	int64_t n = html_tree_function(t, &f);

	assert_true(n >= 0);
	return (uint32_t)n;
}

static uint32_t stack(struct html_tree *t, uint32_t a, uint32_t b, uint32_t c)
{
	int64_t n = html_tree_stack(t, (const uint32_t[]){ c, b, a }, 3); /* leaf first */

	assert_true(n >= 0);
	return (uint32_t)n;
}

static void nodes_stand_in_the_order_of_a_walk(void **state)
{
	struct html_tree t;
	uint32_t m, b, a, z, last, first;

	(void)state;
	html_tree_init(&t);
	m = function(&t, "main");
	z = function(&t, "zeta");
	b = function(&t, "beta");
	a = function(&t, "alpha");
	last = stack(&t, m, z, a);
	first = stack(&t, m, b, z);
	assert_int_equal(stack(&t, m, z, a), last); /* once */
	assert_int_equal(html_tree_stack(&t, &a, 1), 5);
	assert_int_equal(html_tree_finish(&t), 0);
	assert_int_equal(t.nodes.count, 6);
	{
		const uint32_t depth[] = { 1, 1, 2, 3, 2, 3 }, called[] = { a, m, b, z, z, a };

		assert_memory_equal(t.depth, depth, sizeof(depth));
		assert_memory_equal(t.called, called, sizeof(called));
	}
	assert_int_equal(t.place[first], 3);
	assert_int_equal(t.place[last], 5);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(t.order[t.place[i]], i);
	html_tree_done(&t);
}

static void a_function_has_its_smallest_line(void **state)
{
	struct profile_frame f = { "main", "/bin/x", "/src/x.c", 30, 0, false }, g = f, other = f;
	struct html_tree t;

	(void)state;
	g.line = 12;
	other.module = "/bin/y";
	html_tree_init(&t);
	assert_int_equal(html_tree_function(&t, &f), 0);
	assert_int_equal(html_tree_function(&t, &g), 0);
	assert_int_equal(html_tree_function(&t, &other), 1);
	assert_int_equal(t.info[0].line, 12);
	assert_int_equal(t.info[1].line, 30);
	assert_int_equal(html_tree_finish(&t), 0); /* without any stack */
	html_tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_stand_in_the_order_of_a_walk),
		cmocka_unit_test(a_function_has_its_smallest_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of tree.c and functions.c. A tree is compared as text: "name total/self" in order, indented by depth. */
#include "t.h"

#include "buf.h"
#include "functions.h"
#include "profile_build.h"
#include "tree.h"

struct built {
	const struct profile *profiles[2];
	size_t n;
	struct functions functions;
	struct tree *tree;
};

static void build(struct built *b, const struct tree_options *options)
{
	struct tree_input inputs[2] = { { b->profiles[0], 1 }, { b->profiles[1], 1 } };

	assert_int_equal(functions_build(b->profiles, b->n, &b->functions, NULL), 0);
	assert_int_equal(tree_build(inputs, b->n, &b->functions, options, &b->tree, NULL), 0);
	tree_check(b->tree);
}

static void done(struct built *b)
{
	tree_free(b->tree);
	functions_done(&b->functions);
	for (size_t i = 0; i < b->n; i++)
		profile_free((struct profile *)b->profiles[i]);
}

static void print(const struct built *b, uint32_t node, struct buf *out)
{
	const struct tree_node *n = &b->tree->nodes[node];

	for (uint32_t i = 0; i < n->depth; i++)
		buf_add_char(out, '.');
	buf_add_str(out, node ? b->functions.items[n->function].name : "all");
	for (size_t k = 0; k < b->n; k++)
		buf_printf(out, " %llu/%llu", (unsigned long long)n->total[k], (unsigned long long)n->self[k]);
	buf_add_char(out, '\n');
	for (uint32_t c = 0; c < n->child_count; c++)
		print(b, n->first_child + c, out);
}

static const char stacks[] = "main;a;b 5\n"
                             "main;a 2\n"
                             "1|main;z;b 4\n"
                             "1|main;a;b;b 1\n"
                             "main;c 4\n";

static const struct {
	const char *name;
	struct tree_options options;
	const char *want;
} trees[] = {
	{ "largest first; ties by name",
	  { .tid = TREE_ALL_THREADS },
	  "all 16/0\n.main 16/0\n..a 8/2\n...b 6/5\n....b 1/1\n..c 4/4\n..z 4/0\n...b 4/4\n" },
	{ "by name",
	  { .tid = TREE_ALL_THREADS, .order = TREE_BY_NAME },
	  "all 16/0\n.main 16/0\n..a 8/2\n...b 6/5\n....b 1/1\n..c 4/4\n..z 4/0\n...b 4/4\n" },
	{ "one thread", { .tid = 1001 }, "all 5/0\n.main 5/0\n..z 4/0\n...b 4/4\n..a 1/0\n...b 1/0\n....b 1/1\n" },
	{ "one thread by name",
	  { .tid = 1001, .order = TREE_BY_NAME },
	  "all 5/0\n.main 5/0\n..a 1/0\n...b 1/0\n....b 1/1\n..z 4/0\n...b 4/4\n" },
	{ "leaf first",
	  { .tid = TREE_ALL_THREADS, .reverse = true },
	  "all 16/0\n.b 10/0\n..a 5/0\n...main 5/5\n..z 4/0\n...main 4/4\n..b 1/0\n...a 1/0\n....main 1/1\n"
	  ".c 4/0\n..main 4/4\n.a 2/0\n..main 2/2\n" },
	{ "a thread without stacks", { .tid = 1003 }, "all 0/0\n" },
};

static void tree_merges(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
		struct built b = { .profiles = { fake_profile(METRIC_CPU, stacks, NULL, 0) }, .n = 1 };
		struct buf text = { 0 };

		build(&b, &trees[i].options);
		print(&b, 0, &text);
		T_STR(trees[i].name, text.data, trees[i].want);
		buf_done(&text);
		done(&b);
	}
}

static void tree_joins_two_profiles(void **state)
{
	struct built b = { .profiles = { fake_profile(METRIC_LIVE, "main;old 30 3\nmain;a 10 1\n", NULL, 0),
		                         fake_profile(METRIC_LIVE, "main;a 40 2\nmain;new 7 1\nmain 1 1\n", NULL, 0) },
		           .n = 2 };
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	struct buf text = { 0 };

	(void)state;
	build(&b, &options);
	print(&b, 0, &text);
	assert_string_equal(text.data,
	                    "all 40/0 48/0\n.main 40/0 48/1\n..a 10/10 40/40\n..new 0/0 7/7\n..old 30/30 0/0\n");
	assert_int_equal(b.tree->nodes[0].count[0], 4);
	assert_int_equal(b.tree->nodes[0].count[1], 4);
	buf_done(&text);
	done(&b);
}

/* Lines and addresses do not split a function; modules do. The smallest line of the first file is kept. */
static void functions_are_names_in_modules(void **state)
{
	struct built b = { .profiles = { fake_profile(
		                   METRIC_CPU,
		                   "f@/bin/x@/s/f.c@30 1\nf@/bin/x@/s/f.c@12 1\nf@/bin/x@/s/other.h@3 1\n"
		                   "f@/lib/y 1\ng@/bin/x@/s/g.c@7@inlined 1\n",
		                   NULL, 0) },
		           .n = 1 };
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	unsigned seen = 0;

	(void)state;
	build(&b, &options);
	assert_int_equal(b.functions.count, 3);
	for (size_t i = 0; i < b.functions.count; i++) {
		const struct function *f = &b.functions.items[i];

		if (strcmp(f->name, "g") == 0) {
			assert_true(f->inlined);
			seen |= 1;
		} else if (strcmp(f->module, "/lib/y") == 0) {
			assert_null(f->file);
			seen |= 2;
		} else if (f->file && strcmp(f->file, "/s/f.c") == 0) {
			assert_int_equal(f->line, 12);
			seen |= 4;
		}
	}
	assert_int_equal(seen, 7);
	done(&b);
}

static void tree_names_empty_stacks(void **state)
{
	struct built b = { .profiles = { fake_profile(METRIC_CPU, "main 1\n 3\n", NULL, 0) }, .n = 1 };
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	struct buf text = { 0 };

	(void)state;
	build(&b, &options);
	print(&b, 0, &text);
	assert_string_equal(text.data, "all 4/0\n.[unknown] 3/3\n.main 1/1\n");
	buf_done(&text);
	done(&b);
}

/* Depth and width beyond the first table sizes: 3000 levels, and 5000 children of one node. */
static void tree_grows(void **state)
{
	struct buf text = { 0 };
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	struct built b = { .n = 1 };

	(void)state;
	for (int i = 0; i < 3000; i++)
		buf_printf(&text, "%sf%d", i ? ";" : "", i % 7);
	buf_add_str(&text, " 1\n");
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "f0;wide%d 2\n", i);
	b.profiles[0] = fake_profile(METRIC_CPU, text.data, NULL, 0);
	build(&b, &options);
	assert_int_equal(b.tree->count, 1 + 3000 + 5000);
	assert_int_equal(b.tree->max_depth, 3000);
	assert_int_equal(b.tree->nodes[0].total[0], 10001);
	assert_int_equal(b.tree->nodes[1].child_count, 5001);
	buf_done(&text);
	done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_merges),
		cmocka_unit_test(tree_joins_two_profiles),
		cmocka_unit_test(functions_are_names_in_modules),
		cmocka_unit_test(tree_names_empty_stacks),
		cmocka_unit_test(tree_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

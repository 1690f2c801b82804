/* Tests of cli.c: every spelling of an option, every refusal with its sentence, help, and "did you mean". */
#include "t.h"

#include <errno.h>
#include <math.h>

#include "cli.h"
#include "units.h"

struct fields {
	bool json, quiet;
	const char *out;
	uint64_t top, duration_ns, bytes;
	double rate;
	struct cli_list headers;
	const char *by;
};

static const struct cli_option options[] = {
	{ "json", 'j', CLI_FLAG, NULL, "as JSON", offsetof(struct fields, json) },
	{ "quiet", 'q', CLI_FLAG, NULL, "say less", offsetof(struct fields, quiet) },
	{ "output", 'o', CLI_STRING, "FILE", "write here", offsetof(struct fields, out) },
	{ "top", 0, CLI_U64, "N", "only the first N", offsetof(struct fields, top) },
	{ "duration", 'd', CLI_DURATION, "TIME", "how long", offsetof(struct fields, duration_ns) },
	{ "limit", 'l', CLI_BYTES, "SIZE", "how much", offsetof(struct fields, bytes) },
	{ "rate", 'r', CLI_DOUBLE, "R", "how fast", offsetof(struct fields, rate) },
	{ "header", 'H', CLI_LIST, "LINE", "may be repeated", offsetof(struct fields, headers) },
	{ "by", 0, CLI_CHOICE, "stack|thread", "order of the rows", offsetof(struct fields, by) },
	{ "a-very-long-name", 0, CLI_STRING, "one|another|yet-another", "on a line of its own",
	  offsetof(struct fields, out) },
	CLI_END,
};

enum { WORDS_MAX = 80 };

/* Parses "prog" + words (NULL-terminated); the array is the test's own, as cli_parse() reorders it. */
static int parse(const char *const *words, struct fields *f, struct cli_args *args, struct err *err)
{
	static char *argv[WORDS_MAX + 2];
	static char prog[] = "prog";
	int argc = 0;

	memset(f, 0, sizeof(*f));
	memset(err, 0, sizeof(*err));
	memset(args, 0, sizeof(*args));
	argv[argc++] = prog;
	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	argv[argc] = NULL;
	return cli_parse(options, argc, argv, f, args, err);
}

#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void cli_every_spelling_is_the_same(void **state)
{
	static const char *const spellings[][WORDS_MAX] = {
		{ "--output", "f", "--duration", "250ms", "A" },
		{ "--output=f", "--duration=250ms", "A" },
		{ "-o", "f", "-d", "250ms", "A" },
		{ "-of", "-d250ms", "A" },
		{ "A", "-of", "-d250ms" },
		{ "-o", "f", "A", "-d", "250ms" },
		{ "-o", "f", "-d", "250ms", "--", "A" },
	};
	struct fields f;
	struct cli_args args;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		assert_int_equal(parse(spellings[i], &f, &args, &err), 0);
		assert_string_equal(f.out, "f");
		assert_true(f.duration_ns == 250 * NS_PER_MS);
		assert_int_equal(args.count, 1);
		assert_string_equal(args.items[0], "A");
		assert_false(args.help);
	}
}

static void cli_kinds(void **state)
{
	struct fields f;
	struct cli_args args;
	struct err err;

	(void)state;
	assert_int_equal(
	        parse(WORDS("-jq", "--top", "18446744073709551615", "-l", "64k", "-r", "2.5e3"), &f, &args, &err), 0);
	assert_true(f.json && f.quiet);
	assert_true(f.top == UINT64_MAX);
	assert_true(f.bytes == 64 << 10);
	assert_true(f.rate > 2499.9 && f.rate < 2500.1);
	assert_int_equal(args.count, 0);

	/* letters together, the last with its value; an empty attached value; the last one given wins */
	assert_int_equal(parse(WORDS("-qjo", "f", "--output=", "-H", "a: b", "-H=c"), &f, &args, &err), 0);
	assert_true(f.json && f.quiet);
	assert_string_equal(f.out, "");
	assert_int_equal(f.headers.count, 2);
	assert_string_equal(f.headers.items[0], "a: b");
	assert_string_equal(f.headers.items[1], "=c");

	assert_int_equal(parse(WORDS("--by", "thread"), &f, &args, &err), 0);
	assert_string_equal(f.by, "thread");

	/* a value may look like an option; "-" is an argument; negative numbers are values */
	assert_int_equal(parse(WORDS("-o", "-q", "-", "-r", "-1"), &f, &args, &err), 0);
	assert_string_equal(f.out, "-q");
	assert_false(f.quiet);
	assert_true(f.rate < 0);
	assert_int_equal(args.count, 1);
	assert_string_equal(args.items[0], "-");
}

static void cli_double_dash(void **state)
{
	struct fields f;
	struct cli_args args;
	struct err err;

	(void)state;
	assert_int_equal(parse(WORDS("A", "--", "-q", "--nonsense", "--"), &f, &args, &err), 0);
	assert_false(f.quiet);
	assert_int_equal(args.count, 4);
	assert_string_equal(args.items[0], "A");
	assert_string_equal(args.items[1], "-q");
	assert_string_equal(args.items[2], "--nonsense");
	assert_string_equal(args.items[3], "--");
	assert_int_equal(parse(WORDS("--"), &f, &args, &err), 0);
	assert_int_equal(args.count, 0);
}

static const struct {
	const char *words[4];
	const char *sentence;
} refusals[] = {
	{ { "--nonsense" }, "unknown option --nonsense; --help lists the options" },
	{ { "--nonsense=1" }, "unknown option --nonsense; --help lists the options" },
	/* no abbreviations: they break when an option is added */
	{ { "--outpu", "f" }, "unknown option --outpu; did you mean --output?" },
	{ { "--dur=1s" }, "unknown option --dur; did you mean --duration?" },
	{ { "--ratte", "1" }, "unknown option --ratte; did you mean --rate?" },
	{ { "--xy" }, "unknown option --xy; --help lists the options" },
	{ { "-json" }, "unknown option -json; did you mean --json?" },
	{ { "-output=f" }, "unknown option -output; did you mean --output?" },
	{ { "-x" }, "unknown option -x; --help lists the options" },
	{ { "-jx" }, "unknown option -x; --help lists the options" },
	{ { "--by", "thred" }, "--by takes stack or thread, not 'thred'; did you mean 'thread'?" },
	{ { "--by=frames" }, "--by takes stack or thread, not 'frames'" },
	{ { "--by", "" }, "--by takes stack or thread, not ''" },
	{ { "--by", "stack|thread" }, "--by takes stack or thread, not 'stack|thread'" },
	{ { "--json=1" }, "--json takes no value" },
	{ { "--output" }, "--output needs a value (FILE)" },
	{ { "-o" }, "-o needs a value (FILE)" },
	{ { "-jo" }, "-o needs a value (FILE)" },
	{ { "--top" }, "--top needs a whole number" },
	{ { "-d" }, "-d needs a duration such as 250ms, 10s or 1m30s" },
	{ { "--by" }, "--by needs a value (stack|thread)" },
	{ { "--by", "STACK" }, "--by takes stack or thread, not 'STACK'; did you mean 'stack'?" },
	{ { "--top", "ten" }, "--top takes a whole number, not 'ten'" },
	{ { "--top", "-1" }, "--top takes a whole number, not '-1'" },
	{ { "--top", "" }, "--top takes a whole number, not ''" },
	{ { "--top", "18446744073709551616" }, "--top takes a whole number, not '18446744073709551616'" },
	{ { "-d", "1d" }, "--duration takes a duration such as 250ms, 10s or 1m30s, not '1d'" },
	{ { "-l", "much" }, "--limit takes a size such as 64k or 500M, not 'much'" },
	{ { "-r", "nan" }, "--rate takes a number, not 'nan'" },
	{ { "-r", "1e999" }, "--rate takes a number, not '1e999'" },
	{ { "-r", " 1" }, "--rate takes a number, not ' 1'" },
	{ { "-r", "1x" }, "--rate takes a number, not '1x'" },
	{ { "-r", "" }, "--rate takes a number, not ''" },
};

static void cli_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct fields f;
		struct cli_args args;
		struct err err;

		T_CHECK(refusals[i].sentence, parse(refusals[i].words, &f, &args, &err) == -EINVAL);
		T_CHECK(refusals[i].sentence, err.code == -EINVAL);
		T_STR("sentence", err.text, refusals[i].sentence);
	}
}

static void cli_list_is_bounded(void **state)
{
	const char *words[WORDS_MAX] = { 0 };
	struct fields f;
	struct cli_args args;
	struct err err;

	(void)state;
	for (size_t i = 0; i < CLI_LIST_MAX; i++)
		words[i] = "-Hx";
	assert_int_equal(parse(words, &f, &args, &err), 0);
	assert_int_equal(f.headers.count, CLI_LIST_MAX);
	words[CLI_LIST_MAX] = "-Hx";
	assert_int_equal(parse(words, &f, &args, &err), -EINVAL);
	assert_string_equal(err.text, "--header is given more than 64 times");
}

static void cli_help_wins(void **state)
{
	static const struct cli_option with_h[] = {
		{ "header", 'h', CLI_LIST, "LINE", "uses the letter", offsetof(struct fields, headers) },
		CLI_END,
	};
	char prog[] = "prog", h[] = "-h", value[] = "x";
	char *argv[] = { prog, h, value, NULL };
	struct fields f;
	struct cli_args args;
	struct err err;

	(void)state;
	assert_int_equal(parse(WORDS("--help", "--nonsense"), &f, &args, &err), 0);
	assert_true(args.help);
	assert_int_equal(parse(WORDS("A", "-h"), &f, &args, &err), 0);
	assert_true(args.help);
	assert_int_equal(parse(WORDS("--", "-h"), &f, &args, &err), 0);
	assert_false(args.help);
	memset(&f, 0, sizeof(f));
	assert_int_equal(cli_parse(with_h, 3, argv, &f, &args, &err), 0);
	assert_false(args.help);
	assert_int_equal(f.headers.count, 1);
}

static int run_nothing(int argc, char **argv, struct err *err)
{
	(void)argc, (void)argv, (void)err;
	return 0;
}

static const struct cli_command commands[] = {
	{ "info", run_nothing, options, "A", "what was recorded", NULL },
	{ "report", run_nothing, options, "A", "hottest stacks", "  prog report a.snap\n" },
	{ "flamegraph", run_nothing, options, "A [B]", "a picture", NULL },
};

static const struct cli_program program = {
	"prog", "Does things.", commands, ARRAY_LEN(commands), "  0 done, 1 failed\n", "footer\n", NULL, NULL,
};

static const struct {
	const char *typed, *found, *nearest;
} lookups[] = {
	{ "report", "report", NULL },
	{ "info", "info", NULL },
	{ "repotr", NULL, "report" },
	{ "inf", NULL, "info" },
	{ "flame", NULL, "flamegraph" }, /* the beginning of it */
	{ "into", NULL, "info" },
	{ "ifno", NULL, "info" }, /* changed places: one slip */
	{ "tofu", NULL, NULL },   /* two of four letters are not a slip */
	{ "Info", NULL, "info" },
	{ "flamegraf", NULL, "flamegraph" },
	{ "nothing-like-it", NULL, NULL },
	{ "", NULL, NULL },
	{ "a-word-that-is-longer-than-the-thirty-one-characters-compared", NULL, NULL },
};

static void cli_finds_and_suggests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lookups); i++) {
		const char *nearest = "untouched";
		const struct cli_command *c =
		        cli_find_command(commands, ARRAY_LEN(commands), lookups[i].typed, &nearest);

		T_CHECK(lookups[i].typed, !c == !lookups[i].found);
		if (c)
			T_STR(lookups[i].typed, c->name, lookups[i].found);
		T_CHECK(lookups[i].typed, !nearest == !lookups[i].nearest);
		if (nearest)
			T_STR(lookups[i].typed, nearest, lookups[i].nearest);
	}
}

/* Help is made from the table: every row of it must be there. */
static void cli_help_shows_every_row(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	cli_print_help(out, &program, &commands[1]);
	cli_print_commands(out, &program);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "usage: prog report [options] A\n"));
	assert_non_null(strstr(text, "examples:\n  prog report a.snap\n"));
	assert_non_null(strstr(text, "usage: prog COMMAND"));
	assert_non_null(strstr(text, "footer\n"));
	assert_non_null(strstr(text, "exit status:\n  0 done, 1 failed\n"));
	assert_non_null(strstr(text, "\n      --by stack|thread         order of the rows\n"));
	for (const struct cli_option *o = options; o->name; o++) {
		const char *at = strstr(text, o->name);

		T_CHECK(o->name, at != NULL && at[-1] == '-' && at[-2] == '-');
		T_CHECK(o->name, strstr(text, o->help) != NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		T_CHECK(commands[i].name, strstr(text, commands[i].help) != NULL);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cli_every_spelling_is_the_same),
		cmocka_unit_test(cli_kinds),
		cmocka_unit_test(cli_double_dash),
		cmocka_unit_test(cli_refusals),
		cmocka_unit_test(cli_list_is_bounded),
		cmocka_unit_test(cli_help_wins),
		cmocka_unit_test(cli_finds_and_suggests),
		cmocka_unit_test(cli_help_shows_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

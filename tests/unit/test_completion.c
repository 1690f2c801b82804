/* Tests of completion.c: what is offered at each kind of place, before any shell has a say. The shells themselves:
 * tests/completion. */
#include "t.h"

#include <errno.h>

#include "completion.h"

static const struct cli_option options[] = {
	{ "json", 'j', CLI_FLAG, NULL, "as JSON", 0 },
	{ "output", 'o', CLI_STRING, "FILE", "write here", 0 },
	{ "by", 0, CLI_CHOICE, "stack|thread", "rows", 0 },
	{ "to", 0, CLI_LIST, "json=FILE|csv=DIR|NAME", "results", 0 },
	CLI_END,
};
static const struct cli_option none[] = { CLI_END };
static const struct cli_command commands[] = {
	{ "report", NULL, options, "A [B...]", "stacks", NULL }, { "rerun", NULL, options, "-- CMD...", "again", NULL },
	{ "stop", NULL, none, "PID", "no more", NULL },          { "list", NULL, none, "", "all", NULL },
	{ "help", NULL, none, "[COMMAND]", "this", NULL },
};
static const struct cli_value values[] = { { "A", CLI_FILES, "snap live" },
	                                   { "B", CLI_FILES, "snap" },
	                                   { "CMD", CLI_COMMAND, NULL },
	                                   { "PID", CLI_WORDS, "12\tserver -p 1\n123\n7\tother\n" },
	                                   { NULL, CLI_FILES, NULL } };
static const struct cli_program program = { "prog", "Does.", commands, ARRAY_LEN(commands), NULL, NULL, values, NULL };

static const struct cli_command alone[] = { { "", NULL, options, "A", "does", NULL } };
static const struct cli_command stand_ins[] = { { "help", NULL, NULL, "[COMMAND]", "this", NULL },
	                                        { NULL, NULL, NULL, NULL, NULL, NULL } };
static const struct cli_program single = { "one", NULL, alone, 1, NULL, NULL, values, NULL };
static const struct cli_program with_words = { "one", NULL, alone, 1, NULL, NULL, values, stand_ins };

static char *asked(const struct cli_program *p, const char *const *words)
{
	static char completion[] = "completion", dashes[] = "--";
	char *argv[16] = { completion, dashes };
	char *text = NULL;
	size_t size = 0;
	int argc = 2;
	FILE *out = open_memstream(&text, &size);
	struct err err;

	assert_non_null(out);
	while (*words)
		argv[argc++] = (char *)(uintptr_t)*words++;
	assert_int_equal(completion_run(out, p, argc, argv, &err), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

#define OPTIONS_LEFT(json, output, by) json output by "--to\tresults\n--help\thow it is used\n"
#define JSON                           "--json\tas JSON\n"
#define OUTPUT                         "--output\twrite here\n"
#define BY                             "--by\trows\n"

static const struct {
	const char *words[8];
	const char *answer;
} places[] = {
	{ { "re" }, "report\tstacks\nrerun\tagain\n" },
	{ { "" }, "report\tstacks\nrerun\tagain\nstop\tno more\nlist\tall\nhelp\tthis\n" },
	{ { "-" }, "--help\tthe commands\n--version\tprint the version\n" },
	{ { "unheard-of", "" }, "" },
	{ { "help", "r" }, "report\tstacks\nrerun\tagain\n" },
	{ { "help", "list", "" }, "--help\thow it is used\n" },
	/* options: those that are not given yet, but lists again; none after -- */
	{ { "report", "--" }, OPTIONS_LEFT(JSON, OUTPUT, BY) },
	{ { "report", "--json", "-ox", "--" }, OPTIONS_LEFT("", "", BY) },
	{ { "report", "-jo", "x", "--to", "y", "--" }, OPTIONS_LEFT("", "", BY) },
	{ { "report", "--by=stack", "--unknown", "--" }, OPTIONS_LEFT(JSON, OUTPUT, "") },
	{ { "report", "--", "--" }, ":files\tsnap live\n" },
	{ { "report", "-j", "-" },
	  "--output\twrite here\n-o\twrite here\n--by\trows\n--to\tresults\n--help\thow it is used\n" },
	/* values: as a word, after =, after a letter */
	{ { "report", "--by", "" }, "stack\nthread\n" },
	{ { "report", "--by", "t" }, "thread\n" },
	{ { "report", "--by=" }, "--by=stack\n--by=thread\n" },
	{ { "report", "--by=t" }, "--by=thread\n" },
	{ { "report", "--json=" }, "" },
	{ { "report", "--none=" }, "" },
	{ { "report", "-o", "x" }, ":files\t\n" },
	{ { "report", "-jo", "-" }, ":files\t\n" },
	{ { "report", "--output=x" }, ":prefix\t--output=\n:files\t\n" },
	{ { "report", "--to", "" }, "json=\ncsv=\n" },
	{ { "report", "--to", "json=x" }, ":prefix\tjson=\n:files\t\n" },
	{ { "report", "--to", "csv=" }, ":prefix\tcsv=\n:dirs\n" },
	{ { "report", "--to=csv=a" }, ":prefix\t--to=csv=\n:dirs\n" },
	/* arguments in their order, the last one again; behind them only options */
	{ { "report", "" }, ":files\tsnap live\n" },
	{ { "report", "--by", "stack", "" }, ":files\tsnap live\n" },
	{ { "report", "x", "" }, ":files\tsnap\n" },
	{ { "report", "x", "-", "y", "" }, ":files\tsnap\n" },
	{ { "list", "" }, "--help\thow it is used\n" },
	{ { "list", "x" }, "" },
	{ { "stop", "" }, "12\tserver -p 1\n123\n7\tother\n" },
	{ { "stop", "12" }, "12\tserver -p 1\n123\n" },
	/* another program's command line */
	{ { "rerun", "" }, ":command\t1\n" },
	{ { "rerun", "-" },
	  "--json\tas JSON\n-j\tas JSON\n--output\twrite here\n-o\twrite here\n" BY
	  "--to\tresults\n--help\thow it is used\n" },
	{ { "rerun", "--json", "--", "" }, ":command\t3\n" },
	{ { "rerun", "--by", "stack", "ls", "--json" }, ":command\t3\n" },
	{ { "rerun", "--by", "s" }, "stack\n" },
};

static void completion_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char *text = asked(&program, places[i].words);

		T_STR(places[i].words[1] ? places[i].words[1] : places[i].words[0], text, places[i].answer);
		free(text);
	}
}

static void completion_without_commands(void **state)
{
	static const char *const none_yet[] = { "", NULL }, *const option[] = { "--j", NULL };
	char *text = asked(&single, none_yet);

	(void)state;
	assert_string_equal(text, ":files\tsnap live\n");
	free(text);
	text = asked(&single, option);
	assert_string_equal(text, "--json\tas JSON\n");
	free(text);
}

/* Words in place of the first argument: offered beside it, and nowhere else. */
static void completion_of_words(void **state)
{
	static const struct {
		const char *words[4];
		const char *answer;
	} cases[] = {
		{ { "" }, "help\tthis\n:files\tsnap live\n" },
		{ { "h" }, "help\tthis\n:files\tsnap live\n" },
		{ { "x" }, ":files\tsnap live\n" },
		{ { "help", "" }, "help\tthis\n" },
		{ { "help", "x" }, "" },
		{ { "--json", "" }, ":files\tsnap live\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = asked(&with_words, cases[i].words);

		T_STR(cases[i].words[0], text, cases[i].answer);
		free(text);
	}
}

static void completion_scripts(void **state)
{
	static const char *const shells[] = { "bash", "zsh", "fish" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		char completion[] = "completion", shell[8];
		char *argv[] = { completion, shell, NULL };
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		struct err err;

		assert_non_null(out);
		strcpy(shell, shells[i]);
		assert_int_equal(completion_run(out, &program, 2, argv, &err), 0);
		assert_int_equal(fclose(out), 0);
		T_CHECK(shell, strstr(text, "prog completion --") || strstr(text, "program\" completion --") ||
		                       strstr(text, "$program completion --"));
		T_CHECK(shell, !strstr(text, "@PROGRAM@"));
		free(text);
	}
}

static void completion_refusals(void **state)
{
	char completion[] = "completion", wrong[] = "zhs", bash[] = "bash", help[] = "--help", dashes[] = "--";
	char *misspelt[] = { completion, wrong, NULL }, *two[] = { completion, bash, wrong, NULL };
	char *asks_help[] = { completion, help, NULL }, *nothing[] = { completion, dashes, NULL };
	struct err err;

	(void)state;
	assert_int_equal(completion_run(stdout, &program, 2, misspelt, &err), -EINVAL);
	assert_string_equal(err.text, "completion takes bash, zsh or fish, not 'zhs'; did you mean 'zsh'?");
	assert_int_equal(completion_run(stdout, &program, 3, two, &err), -EINVAL);
	assert_int_equal(completion_run(stdout, &program, 1, two, &err), -EINVAL);
	assert_int_equal(completion_run(stdout, &program, 2, nothing, &err), -EINVAL);
	assert_int_equal(completion_run(stdout, &program, 2, asks_help, &err), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completion_places),   cmocka_unit_test(completion_without_commands),
		cmocka_unit_test(completion_of_words), cmocka_unit_test(completion_scripts),
		cmocka_unit_test(completion_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * completion.c - what may stand at the cursor.
 *
 * The alternative, to print all commands, options and words into a script of each shell's own language, was not taken:
 * three generators that have to quote for three shells, scripts that are stale as soon as the program is updated, and
 * no process ids. The price is one start of the program a key press.
 */
#include "completion.h"

#include <errno.h>
#include <string.h>

#include "completion_scripts.h"

struct request {
	FILE *out;
	const struct cli_program *program;
	const char *const *words;
	size_t count;
	const char *typed; /* the last of the words */
};

enum { GIVEN_MAX = 128 };

/* What the words before the cursor say about it. */
struct position {
	const struct cli_option *value_of; /* its value is being typed, as a word of its own */
	size_t arguments;                  /* that stand before */
	size_t command_at;                 /* where another program's command line begins; SIZE_MAX: nowhere */
	bool ended;                        /* after "--" */
	bool given[GIVEN_MAX];             /* by index in the table of options */
};

static void offer(const struct request *r, const char *head, size_t head_len, const char *word, size_t len,
                  const char *about)
{
	char candidate[512];
	int n = snprintf(candidate, sizeof(candidate), "%.*s%.*s", (int)head_len, head, (int)len, word);

	if (n <= 0 || (size_t)n >= sizeof(candidate) || strncmp(candidate, r->typed, strlen(r->typed)) != 0)
		return;
	fprintf(r->out, about && *about ? "%s\t%s\n" : "%s\n", candidate, about);
}

static void offer_lines(const struct request *r, size_t head_len, const char *lines)
{
	while (lines && *lines) {
		size_t len = strcspn(lines, "\n"), word = strcspn(lines, "\t\n");
		char about[160] = "";

		if (word < len)
			(void)snprintf(about, sizeof(about), "%.*s", (int)(len - word - 1), lines + word + 1);
		offer(r, r->typed, head_len, lines, word, about);
		lines += len + (lines[len] == '\n');
	}
}

static void offer_commands(const struct request *r)
{
	for (size_t i = 0; i < r->program->count; i++) {
		const struct cli_command *c = &r->program->commands[i];

		if (c->name[0])
			offer(r, "", 0, c->name, strlen(c->name), c->help);
	}
	for (const struct cli_command *c = r->program->words; c && c->name; c++)
		offer(r, "", 0, c->name, strlen(c->name), c->help);
}

static const struct cli_command *word_of(const struct request *r)
{
	for (const struct cli_command *c = r->program->words; c && c->name && r->count > 1; c++)
		if (strcmp(c->name, r->words[0]) == 0)
			return c;
	return NULL;
}

static const struct cli_value *value_named(const struct cli_program *program, const char *name, size_t len)
{
	static const struct cli_value known[] = { { "FILE", CLI_FILES, "" },
		                                  { "DIR", CLI_DIRS, "" },
		                                  { NULL, CLI_FILES, NULL } };
	const struct cli_value *const tables[] = { program->values, known };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct cli_value *v = tables[i]; v && v->name; v++)
			if (strlen(v->name) == len && memcmp(v->name, name, len) == 0)
				return v;
	return NULL;
}

/* A name in capitals; `head_len` of the typed word stand before what it stands for. */
static void offer_named(const struct request *r, size_t head_len, const char *name, size_t len)
{
	const struct cli_value *v = value_named(r->program, name, len);

	if (!v) {
		if (len == strlen("COMMAND") && memcmp(name, "COMMAND", len) == 0)
			offer_commands(r);
		return; /* a number, a text: nothing to choose from */
	}
	if (head_len && (v->fill == CLI_FILES || v->fill == CLI_DIRS))
		fprintf(r->out, ":prefix\t%.*s\n", (int)head_len, r->typed);
	if (v->fill == CLI_FILES)
		fprintf(r->out, ":files\t%s\n", v->list);
	else if (v->fill == CLI_DIRS)
		fprintf(r->out, ":dirs\n");
	else if (v->fill == CLI_WORDS)
		offer_lines(r, head_len, v->list);
}

static void offer_value(const struct request *r, size_t head_len, const char *value)
{
	const char *word;
	size_t len;

	while (cli_next_alternative(&value, &word, &len)) {
		size_t fixed = 0;

		while (fixed < len && !(word[fixed] >= 'A' && word[fixed] <= 'Z'))
			fixed++;
		if (fixed < len && strncmp(r->typed + head_len, word, fixed) == 0)
			offer_named(r, head_len + fixed, word + fixed, len - fixed);
		else
			offer(r, r->typed, head_len, word, fixed, NULL);
	}
}

static void offer_options(const struct request *r, const struct cli_option *options, const struct position *at)
{
	for (size_t i = 0; options && options[i].name; i++) {
		const struct cli_option *o = &options[i];

		if (i < GIVEN_MAX && at->given[i] && o->kind != CLI_LIST)
			continue;
		offer(r, "--", 2, o->name, strlen(o->name), o->help);
		if (o->letter && r->typed[0] && !r->typed[1])
			offer(r, "-", 1, &o->letter, 1, o->help);
	}
	offer(r, "", 0, "--help", strlen("--help"), "how it is used");
}

/* The argument number `index` of a command as its usage line names it; false if there is none. */
static bool argument(const char *args, size_t index, char *ret_value, size_t size)
{
	while (*args) {
		size_t len = strcspn(args, " "), word = len;
		const char *at = args;
		bool repeats;

		args += len + (args[len] == ' ');
		if (word == 2 && memcmp(at, "--", 2) == 0)
			continue;
		if (word && *at == '[')
			at++, word--;
		if (word && at[word - 1] == ']')
			word--;
		repeats = word > 3 && memcmp(at + word - 3, "...", 3) == 0;
		if (repeats)
			word -= 3;
		if (index == 0 || repeats) {
			(void)snprintf(ret_value, size, "%.*s", (int)word, at);
			return true;
		}
		index--;
	}
	return false;
}

static bool begins_command(const struct cli_program *program, const char *args, size_t index)
{
	char name[128];
	const struct cli_value *v =
	        argument(args, index, name, sizeof(name)) ? value_named(program, name, strlen(name)) : NULL;

	return v && v->fill == CLI_COMMAND;
}

/* The option that a word in front of the cursor names, and the flags before it; *ret_wants is set if its value is the
 * next word. */
static const struct cli_option *option_of(const struct cli_option *options, const char *word, struct position *at,
                                          bool *ret_wants)
{
	bool is_long = word[1] == '-';
	size_t len = strcspn(word, "=");
	const struct cli_option *o;

	*ret_wants = false;
	for (word++; *word; word++) {
		for (o = options; o && o->name; o++)
			if (is_long ? strlen(o->name) == len - 2 && memcmp(o->name, word + 1, len - 2) == 0
			            : o->letter == *word)
				break;
		if (!o || !o->name)
			return NULL;
		if (o - options < GIVEN_MAX)
			at->given[o - options] = true;
		if (is_long || o->kind != CLI_FLAG) {
			*ret_wants = o->kind != CLI_FLAG && !word[is_long ? len - 1 : 1];
			return o;
		}
	}
	return NULL;
}

/* Reads words[first] up to the cursor as cli_parse() will. */
static void locate(const struct request *r, const struct cli_command *c, size_t first, struct position *at)
{
	*at = (struct position){ .command_at = SIZE_MAX };
	for (size_t i = first; i < r->count; i++) {
		const char *word = r->words[i];
		const struct cli_option *o;
		bool wants, typed = i + 1 == r->count;

		if (at->ended || word[0] != '-' || (!word[1] && !typed)) {
			if (begins_command(r->program, c->args, at->arguments)) {
				at->command_at = i;
				return;
			}
			at->arguments += !typed;
			continue;
		}
		if (typed)
			return;
		if (strcmp(word, "--") == 0) {
			at->ended = true;
			continue;
		}
		o = option_of(c->options, word, at, &wants);
		if (wants && i + 2 == r->count) {
			at->value_of = o;
			return;
		}
		i += wants;
	}
}

static void complete_command(const struct request *r, const struct cli_command *c, size_t first)
{
	struct position at;
	const char *equals = strchr(r->typed, '=');
	char value[128];
	bool wants;

	locate(r, c, first, &at);
	if (at.command_at != SIZE_MAX) {
		fprintf(r->out, ":command\t%zu\n", at.command_at);
	} else if (at.value_of) {
		offer_value(r, 0, at.value_of->value);
	} else if (!at.ended && strncmp(r->typed, "--", 2) == 0 && equals) {
		const struct cli_option *o = option_of(c->options, r->typed, &at, &wants);

		if (o && o->kind != CLI_FLAG)
			offer_value(r, (size_t)(equals - r->typed) + 1, o->value);
	} else if (!at.ended && r->typed[0] == '-') {
		offer_options(r, c->options, &at);
	} else if (argument(c->args, at.arguments, value, sizeof(value))) {
		offer_value(r, 0, value);
	} else if (!r->typed[0] && !at.ended) {
		offer_options(r, c->options, &at);
	}
}

static void complete(const struct request *r)
{
	const struct cli_program *p = r->program;
	const struct cli_command *c;
	const char *nearest;

	if ((c = word_of(r))) {
		complete_command(r, c, 1);
	} else if (p->count == 1 && !p->commands[0].name[0]) {
		if (r->count == 1)
			offer_commands(r);
		complete_command(r, &p->commands[0], 0);
	} else if (r->count == 1) {
		offer_commands(r);
		if (r->typed[0] == '-') {
			offer(r, "", 0, "--help", strlen("--help"), "the commands");
			offer(r, "", 0, "--version", strlen("--version"), "print the version");
		}
	} else if ((c = cli_find_command(p->commands, p->count, r->words[0], &nearest))) {
		complete_command(r, c, 1);
	}
}

static const struct script {
	const char *shell;
	const unsigned char *text;
	const size_t *len;
} scripts[] = {
	{ "bash", embedded_completion_bash, &embedded_completion_bash_len },
	{ "zsh", embedded_completion_zsh, &embedded_completion_zsh_len },
	{ "fish", embedded_completion_fish, &embedded_completion_fish_len },
};

static void print_script(FILE *out, const struct script *s, const char *program)
{
	static const char mark[] = "@PROGRAM@";
	size_t from = 0;

	for (size_t i = 0; i + sizeof(mark) - 1 <= *s->len; i++) {
		if (memcmp(s->text + i, mark, sizeof(mark) - 1) != 0)
			continue;
		(void)fwrite(s->text + from, 1, i - from, out); /* the caller checks the stream */
		fputs(program, out);
		from = i + sizeof(mark) - 1;
	}
	(void)fwrite(s->text + from, 1, *s->len - from, out);
}

int completion_run(FILE *out, const struct cli_program *program, int argc, char **argv, struct err *err)
{
	int rc;

	if (argc > 2 && strcmp(argv[1], "--") == 0) {
		struct request r = { out, program, (const char *const *)argv + 2, (size_t)argc - 2, argv[argc - 1] };

		complete(&r);
		return 0;
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return 1;
	if (argc != 2)
		return err_set(err, -EINVAL, "completion needs the name of one shell: bash, zsh or fish");
	rc = cli_check_choice("completion", COMPLETION_ARGS, argv[1], err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(scripts); i++)
		if (strcmp(scripts[i].shell, argv[1]) == 0)
			print_script(out, &scripts[i], program->name);
	return rc;
}

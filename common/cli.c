/*
 * cli.c - options and subcommands from tables.
 *
 * getopt_long was weighed and not taken: it prints by itself, keeps globals, and its help has to be written twice.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

static const struct cli_option *option_by_name(const struct cli_option *o, const char *name, size_t len)
{
	for (; o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static const struct cli_option *option_by_letter(const struct cli_option *o, char letter)
{
	for (; o->name; o++)
		if (o->letter && o->letter == letter)
			return o;
	return NULL;
}

static int parse_double(const char *text, double *ret_value)
{
	char *end;
	double value;

	if (!*text || *text == ' ')
		return -EINVAL;
	value = strtod(text, &end);
	if (*end || !isfinite(value))
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static const char *kind_wants(enum cli_kind kind)
{
	switch (kind) {
	case CLI_U64:
		return "a whole number";
	case CLI_DURATION:
		return "a duration such as 250ms, 10s or 1m30s";
	case CLI_BYTES:
		return "a size such as 64k or 500M";
	case CLI_DOUBLE:
		return "a number";
	case CLI_FLAG:
	case CLI_STRING:
	case CLI_LIST:
	case CLI_CHOICE:
		break;
	}
	return "a value";
}

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* How many letters are wrong, missing or too many, for "did you mean"; two that changed places are one. Words of up to 31
 * characters, else "far". */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), rows[3][32];

	if (la > 31 || lb > 31)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = above[j - 1] + !same(a[i - 1], b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
			    two_above[j - 2] + 1 < best)
				best = two_above[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

unsigned cli_likeness(const char *typed, const char *name)
{
	size_t typed_len = strlen(typed), len = strlen(name), d = distance(typed, name);
	/* in a word of four letters, two wrong ones are another word */
	size_t allowed = len > 4 ? 2 : len > 2 ? 1 : 0;

	if (typed_len == 0)
		return 0;
	if (d <= allowed)
		return 4 - (unsigned)d;
	return typed_len >= 2 && strncmp(typed, name, typed_len) == 0;
}

bool cli_next_alternative(const char **at, const char **ret_word, size_t *ret_len)
{
	if (!*at || !**at)
		return false;
	*ret_word = *at;
	*ret_len = strcspn(*at, "|");
	*at += *ret_len + ((*at)[*ret_len] == '|');
	return true;
}

/* "a, b or c" */
static void list_alternatives(char *out, size_t size, const char *value)
{
	const char *word;
	size_t len, used = 0;
	bool first = true;

	out[0] = '\0';
	while (cli_next_alternative(&value, &word, &len) && used < size) {
		used += (size_t)snprintf(out + used, size - used, "%s%.*s",
		                         first    ? ""
		                         : *value ? ", "
		                                  : " or ",
		                         (int)len, word);
		first = false;
	}
}

int cli_check_choice(const char *subject, const char *value, const char *given, struct err *err)
{
	const char *at = value, *word;
	char all[256], one[64], nearest[64] = "";
	unsigned best = 0;
	size_t len;

	while (cli_next_alternative(&at, &word, &len)) {
		unsigned likeness;

		(void)snprintf(one, sizeof(one), "%.*s", (int)len, word);
		if (strcmp(one, given) == 0)
			return 0;
		likeness = cli_likeness(given, one);
		if (likeness > best) {
			best = likeness;
			memcpy(nearest, one, sizeof(one));
		}
	}
	list_alternatives(all, sizeof(all), value);
	if (best)
		return err_set(err, -EINVAL, "%s takes %s, not '%s'; did you mean '%s'?", subject, all, given, nearest);
	return err_set(err, -EINVAL, "%s takes %s, not '%s'", subject, all, given);
}

static int option_store(const struct cli_option *o, const char *text, void *options, struct err *err)
{
	void *field = (char *)options + o->offset;
	int rc = 0;

	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)field = true;
		break;
	case CLI_CHOICE: {
		char subject[64];

		(void)snprintf(subject, sizeof(subject), "--%s", o->name);
		rc = cli_check_choice(subject, o->value, text, err);
		if (rc == 0)
			*(const char **)field = text;
		return rc;
	}
	case CLI_STRING:
		*(const char **)field = text;
		break;
	case CLI_U64:
		rc = units_parse_count(text, field);
		break;
	case CLI_DURATION:
		rc = units_parse_duration(text, field);
		break;
	case CLI_BYTES:
		rc = units_parse_bytes(text, field);
		break;
	case CLI_DOUBLE:
		rc = parse_double(text, field);
		break;
	case CLI_LIST: {
		struct cli_list *list = field;

		if (list->count == CLI_LIST_MAX)
			return err_set(err, -EINVAL, "--%s is given more than %d times", o->name, CLI_LIST_MAX);
		list->items[list->count++] = text;
		break;
	}
	}
	if (rc < 0)
		return err_set(err, -EINVAL, "--%s takes %s, not '%s'", o->name, kind_wants(o->kind), text);
	return 0;
}

struct parse {
	const struct cli_option *options;
	char **argv;
	int argc, at;
	void *fields;
	struct err *err;
};

/* The value of an option that takes one: attached text, or the next word. NULL if there is none. */
static const char *take_value(struct parse *p, const char *attached)
{
	if (attached)
		return attached;
	if (p->at + 1 >= p->argc)
		return NULL;
	return p->argv[++p->at];
}

static int missing_value(struct parse *p, const struct cli_option *o, const char *given)
{
	if (o->kind == CLI_STRING || o->kind == CLI_LIST || o->kind == CLI_CHOICE)
		return err_set(p->err, -EINVAL, "%s needs a value (%s)", given, o->value ? o->value : "VALUE");
	return err_set(p->err, -EINVAL, "%s needs %s", given, kind_wants(o->kind));
}

static int unknown_option(struct parse *p, const char *dashes, const char *word, size_t len)
{
	const char *nearest = NULL;
	char typed[64];
	unsigned best = 0;

	(void)snprintf(typed, sizeof(typed), "%.*s", (int)len, word);
	for (const struct cli_option *o = p->options; o->name; o++) {
		unsigned likeness = cli_likeness(typed, o->name);

		if (likeness > best) {
			best = likeness;
			nearest = o->name;
		}
	}
	if (nearest)
		return err_set(p->err, -EINVAL, "unknown option %s%.*s; did you mean --%s?", dashes, (int)len, word,
		               nearest);
	return err_set(p->err, -EINVAL, "unknown option %s%.*s; --help lists the options", dashes, (int)len, word);
}

static int parse_long(struct parse *p, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct cli_option *o = option_by_name(p->options, word, len);
	const char *value;

	if (!o)
		return unknown_option(p, "--", word, len);
	if (o->kind == CLI_FLAG) {
		if (equals)
			return err_set(p->err, -EINVAL, "--%s takes no value", o->name);
		return option_store(o, NULL, p->fields, p->err);
	}
	value = take_value(p, equals ? equals + 1 : NULL);
	if (!value) {
		char given[64];

		(void)snprintf(given, sizeof(given), "--%s", o->name);
		return missing_value(p, o, given);
	}
	return option_store(o, value, p->fields, p->err);
}

static int parse_letters(struct parse *p, const char *letters)
{
	size_t len = strcspn(letters, "=");

	/* "-json" is a long name with a dash too few, never the letters j, s, o and n */
	if (len > 1 && option_by_name(p->options, letters, len))
		return unknown_option(p, "-", letters, len);
	for (; *letters; letters++) {
		const struct cli_option *o = option_by_letter(p->options, *letters);
		const char *value;

		if (!o)
			return err_set(p->err, -EINVAL, "unknown option -%c; --help lists the options", *letters);
		if (o->kind == CLI_FLAG) {
			int rc = option_store(o, NULL, p->fields, p->err);

			if (rc < 0)
				return rc;
			continue;
		}
		value = take_value(p, letters[1] ? letters + 1 : NULL);
		if (!value)
			return missing_value(p, o, (char[]){ '-', o->letter, '\0' });
		return option_store(o, value, p->fields, p->err);
	}
	return 0;
}

int cli_parse(const struct cli_option *options, int argc, char **argv, void *ret_options, struct cli_args *ret_args,
              struct err *err)
{
	struct parse p = { options, argv, argc, 1, ret_options, err };
	bool h_is_help = !option_by_letter(options, 'h');
	size_t kept = 0;
	int rc = 0;

	ret_args->help = false;
	ret_args->items = (const char **)argv;
	for (; p.at < argc && rc == 0; p.at++) {
		char *word = argv[p.at];

		if (strcmp(word, "--") == 0) {
			for (p.at++; p.at < argc; p.at++)
				argv[kept++] = argv[p.at];
			break;
		}
		if (strcmp(word, "--help") == 0 || (h_is_help && strcmp(word, "-h") == 0)) {
			ret_args->help = true;
			return 0;
		}
		if (word[0] == '-' && word[1] == '-')
			rc = parse_long(&p, word + 2);
		else if (word[0] == '-' && word[1])
			rc = parse_letters(&p, word + 1);
		else
			argv[kept++] = word;
	}
	ret_args->count = kept;
	return rc;
}

static void print_options(FILE *out, const struct cli_option *o)
{
	for (; o->name; o++) {
		const char *value = o->value ? o->value : "";
		int n;

		if (o->letter)
			n = fprintf(out, "  -%c, --%s %s", o->letter, o->name, value);
		else
			n = fprintf(out, "      --%s %s", o->name, value);
		if (n > 30)
			n = fprintf(out, "\n") - 1;
		fprintf(out, "%*s%s\n", 32 - n, "", o->help);
	}
}

void cli_print_help(FILE *out, const struct cli_program *program, const struct cli_command *command)
{
	bool has_options = command->options && command->options->name;

	fprintf(out, "usage: %s%s%s%s%s%s\n\n%s\n", program->name, command->name[0] ? " " : "", command->name,
	        has_options ? " [options]" : "", command->args[0] ? " " : "", command->args, command->help);
	if (has_options) {
		fprintf(out, "\noptions:\n");
		print_options(out, command->options);
	}
	if (command->examples)
		fprintf(out, "\nexamples:\n%s", command->examples);
	if (program->exit_status)
		fprintf(out, "\nexit status:\n%s", program->exit_status);
}

void cli_print_commands(FILE *out, const struct cli_program *program)
{
	const char *name = program->name;

	fprintf(out, "usage: %s COMMAND [options] ...\n\n%s\n\ncommands:\n", name, program->purpose);
	for (size_t i = 0; i < program->count; i++)
		fprintf(out, "  %-12s %-22s %s\n", program->commands[i].name, program->commands[i].args,
		        program->commands[i].help);
	fprintf(out, "\n'%s COMMAND --help' explains a command; '%s --version' prints the version.\n", name, name);
	if (program->exit_status)
		fprintf(out, "\nexit status:\n%s", program->exit_status);
	if (program->footer)
		fprintf(out, "%s", program->footer);
}

const struct cli_command *cli_find_command(const struct cli_command *commands, size_t count, const char *name,
                                           const char **ret_nearest)
{
	unsigned best = 0;

	*ret_nearest = NULL;
	for (size_t i = 0; i < count; i++) {
		unsigned likeness = cli_likeness(name, commands[i].name);

		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
		if (likeness > best) {
			best = likeness;
			*ret_nearest = commands[i].name;
		}
	}
	return NULL;
}

/*
 * cli.c - options and subcommands from tables.
 *
 * getopt_long was weighed and not taken: it prints by itself, keeps globals, and its help has to be written twice.
 */
#include "cli.h"

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
		break;
	}
	return "a value";
}

static int option_store(const struct cli_option *o, const char *text, void *options, struct err *err)
{
	void *field = (char *)options + o->offset;
	int rc = 0;

	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)field = true;
		break;
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

static int parse_long(struct parse *p, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct cli_option *o = option_by_name(p->options, word, len);
	const char *value;

	if (!o)
		return err_set(p->err, -EINVAL, "unknown option --%.*s", (int)len, word);
	if (o->kind == CLI_FLAG) {
		if (equals)
			return err_set(p->err, -EINVAL, "--%s takes no value", o->name);
		return option_store(o, NULL, p->fields, p->err);
	}
	value = take_value(p, equals ? equals + 1 : NULL);
	if (!value)
		return err_set(p->err, -EINVAL, "--%s needs a value (%s)", o->name, o->value ? o->value : "VALUE");
	return option_store(o, value, p->fields, p->err);
}

static int parse_letters(struct parse *p, const char *letters)
{
	for (; *letters; letters++) {
		const struct cli_option *o = option_by_letter(p->options, *letters);
		const char *value;

		if (!o)
			return err_set(p->err, -EINVAL, "unknown option -%c", *letters);
		if (o->kind == CLI_FLAG) {
			int rc = option_store(o, NULL, p->fields, p->err);

			if (rc < 0)
				return rc;
			continue;
		}
		value = take_value(p, letters[1] ? letters + 1 : NULL);
		if (!value)
			return err_set(p->err, -EINVAL, "-%c needs a value (%s)", o->letter,
			               o->value ? o->value : "VALUE");
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
		char left[64];
		const char *value = o->value ? o->value : "";
		int n;

		if (o->letter)
			n = snprintf(left, sizeof(left), "  -%c, --%s %s", o->letter, o->name, value);
		else
			n = snprintf(left, sizeof(left), "      --%s %s", o->name, value);
		if (n > 30)
			fprintf(out, "%s\n%-32s%s\n", left, "", o->help);
		else
			fprintf(out, "%-32s%s\n", left, o->help);
	}
}

void cli_print_help(FILE *out, const char *prog, const struct cli_command *command)
{
	fprintf(out, "usage: %s%s%s%s %s\n\n%s\n", prog, command->name[0] ? " " : "", command->name,
	        command->options && command->options->name ? " [options]" : "", command->args, command->help);
	if (command->options && command->options->name) {
		fprintf(out, "\noptions:\n");
		print_options(out, command->options);
	}
	if (command->examples)
		fprintf(out, "\nexamples:\n%s", command->examples);
}

void cli_print_commands(FILE *out, const char *prog, const char *purpose, const struct cli_command *commands,
                        size_t count, const char *footer)
{
	fprintf(out, "usage: %s COMMAND [options] ...\n\n%s\n\ncommands:\n", prog, purpose);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "  %-12s %-22s %s\n", commands[i].name, commands[i].args, commands[i].help);
	fprintf(out, "\n'%s COMMAND --help' explains a command; '%s --version' prints the version.\n", prog, prog);
	if (footer)
		fprintf(out, "%s", footer);
}

/* Levenshtein distance, for "did you mean"; words of up to 31 characters, else "far". */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[32];

	if (la > 31 || lb > 31)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

const struct cli_command *cli_find_command(const struct cli_command *commands, size_t count, const char *name,
                                           const char **ret_nearest)
{
	size_t best = 3;

	*ret_nearest = NULL;
	for (size_t i = 0; i < count; i++) {
		size_t d = distance(name, commands[i].name);

		if (d == 0)
			return &commands[i];
		if (d < best) {
			best = d;
			*ret_nearest = commands[i].name;
		}
	}
	return NULL;
}

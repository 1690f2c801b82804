/* Table-driven command lines: one table of options and subcommands makes the parser, --help and shell completion.
 * Options may stand before, between and after arguments; "--" ends them; "--opt=value" and "--opt value", "-ovalue" and
 * "-o value" are the same. Hosted programs, main thread. Errors: -EINVAL with one sentence. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "compiler.h"
#include "err.h"

enum cli_kind {
	CLI_FLAG,     /* bool *      no value */
	CLI_STRING,   /* const char ** (points into argv) */
	CLI_U64,      /* uint64_t *  decimal */
	CLI_DURATION, /* uint64_t *  nanoseconds */
	CLI_BYTES,    /* uint64_t *  bytes */
	CLI_DOUBLE,   /* double *    finite */
	CLI_LIST,     /* struct cli_list *  may be given several times */
};

struct cli_option {
	const char *name; /* long name without dashes */
	char letter;      /* or 0 */
	enum cli_kind kind;
	const char *value; /* name of the value in help ("FILE"); NULL for flags */
	const char *help;  /* one line */
	size_t offset;     /* offsetof the field in the options struct given to cli_parse() */
};
#define CLI_END                                  \
	{                                        \
		NULL, 0, CLI_FLAG, NULL, NULL, 0 \
	}

enum { CLI_LIST_MAX = 64 };
struct cli_list {
	const char *items[CLI_LIST_MAX];
	size_t count;
};

/* What is left when the options are taken out. */
struct cli_args {
	const char **items; /* points into argv, reordered in place */
	size_t count;
	bool help; /* --help or -h was given (unless the table uses the letter h itself): nothing else is checked */
};

/* Parses argv[1..argc). `ret_options` is filled at the offsets of the table; `ret_args` gets the rest. */
int cli_parse(const struct cli_option *options, int argc, char **argv, void *ret_options, struct cli_args *ret_args,
              struct err *err) MUST_USE;

struct cli_command {
	const char *name;
	int (*run)(int argc, char **argv, struct err *err); /* argv[0] is the command's name */
	const struct cli_option *options;
	const char *args;     /* "A B" */
	const char *help;     /* one line */
	const char *examples; /* lines, each ending in \n, or NULL */
};

/* "usage: prog cmd [options] ARGS", the option table and examples. */
void cli_print_help(FILE *out, const char *prog, const struct cli_command *command);
/* The command list of a program; `footer` (may be NULL) comes last. */
void cli_print_commands(FILE *out, const char *prog, const char *purpose, const struct cli_command *commands,
                        size_t count, const char *footer);
/* NULL if there is none of that name; then *ret_nearest is the most similar one (may be NULL). */
const struct cli_command *cli_find_command(const struct cli_command *commands, size_t count, const char *name,
                                           const char **ret_nearest);

/* Process exit codes of DESIGN.md 2.3. A negative errno from a command maps to these. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CHECK = 3 };

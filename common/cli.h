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
	CLI_CHOICE,   /* const char **  one of the words that `value` names, else an error */
};

/* What a value is, as usage lines have it: alternatives with '|' between them, each a word in lower case ("on|off") that
 * stands for itself, or a name in capitals ("FILE"), perhaps with a word before it ("json=FILE"). Help shows it as it is;
 * completion offers the words, and for the names what struct cli_value says. */
struct cli_option {
	const char *name; /* long name without dashes */
	char letter;      /* or 0 */
	enum cli_kind kind;
	const char *value; /* what it takes, see below; NULL for flags */
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
	const char *args;     /* "A [B...]": values as options have them; "--" and brackets are for the eye */
	const char *help;     /* one line */
	const char *examples; /* lines, each ending in \n, or NULL */
};

/* What stands behind a name in capitals. FILE and DIR are known without being told. */
enum cli_fill {
	CLI_FILES,   /* `list`: endings with blanks between them ("snap live"), or "" */
	CLI_DIRS,    /* directories */
	CLI_WORDS,   /* `list`: lines, each a word, or a word, a tab and what it is */
	CLI_COMMAND, /* another program's command line begins here */
};
struct cli_value {
	const char *name;
	enum cli_fill fill;
	const char *list;
};

struct cli_program {
	const char *name;
	const char *purpose;                /* one line */
	const struct cli_command *commands; /* one with an empty name: the program has no commands */
	size_t count;
	const char *exit_status;        /* lines, each ending in \n */
	const char *footer;             /* the last lines of the list of commands, or NULL */
	const struct cli_value *values; /* ends with a NULL name; for completion */
	/* NULL, or where the program has no commands: what may stand in place of its first argument; ends with a NULL name. */
	const struct cli_command *words;
};

/* "usage: prog cmd [options] ARGS", the option table, examples and exit statuses. */
void cli_print_help(FILE *out, const struct cli_program *program, const struct cli_command *command);
/* The command list of a program. */
void cli_print_commands(FILE *out, const struct cli_program *program);
/* NULL if there is none of that name; then *ret_nearest is the most similar one (may be NULL). */
const struct cli_command *cli_find_command(const struct cli_command *commands, size_t count, const char *name,
                                           const char **ret_nearest);
/* 0 if `given` is one of the words of `value`, else -EINVAL: "SUBJECT takes a, b or c, not 'd'", and the word that is
 * meant, if one is similar. Names in capitals allow nothing: check those first. */
int cli_check_choice(const char *subject, const char *value, const char *given, struct err *err) MUST_USE;

/* Steps through the alternatives of a value: false at the end. Start with *at = value. */
bool cli_next_alternative(const char **at, const char **ret_word, size_t *ret_len);
/* Is `typed` a misspelt or unfinished `name`? 0: no; otherwise the more the better. */
unsigned cli_likeness(const char *typed, const char *name);

/* Process exit codes of DESIGN.md 2.3. A negative errno from a command maps to these. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CHECK = 3 };

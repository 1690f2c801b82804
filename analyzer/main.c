/*
 * main.c - the table of commands, dispatch, exit codes.
 *
 * Only this file prints errors: one line, "probe-analyze: sentence".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clean_text.h"
#include "cmd.h"
#include "completion.h"

static int run_completion(int argc, char **argv, struct err *err);
static int run_help(int argc, char **argv, struct err *err);

static const struct cli_option no_options[] = { CLI_END };
static const struct cli_command cmd_completion = {
	"completion",
	run_completion,
	no_options,
	COMPLETION_ARGS,
	COMPLETION_HELP,
	"  source <(probe-analyze completion bash)         in ~/.bashrc; the same for zsh, after compinit\n"
	"  probe-analyze completion fish | source          in config.fish\n",
};
static const struct cli_command cmd_help = {
	"help", run_help, no_options, "[COMMAND]", "the same as --help", "  probe-analyze help report\n",
};

/* Every command of the program in the order of its help. */
static const struct cli_command *const built[] = { &cmd_info,     &cmd_report,     &cmd_diff,   &cmd_leaks,
	                                           &cmd_requests, &cmd_flamegraph, &cmd_export, &cmd_html,
	                                           &cmd_serve,    &cmd_merge,      &cmd_push,   &cmd_top,
	                                           &cmd_results,  &cmd_completion, &cmd_help };

/* The same as one array, and cmd_program with it: made by main(). */
static struct cli_command commands[ARRAY_LEN(built)];
static struct cli_program program;

static void print_usage(FILE *out)
{
	cli_print_commands(out, &program);
}

static int unknown(const char *name, const char *nearest, struct err *err)
{
	if (nearest)
		return err_set(err, -EINVAL, "unknown command '%s'; did you mean '%s'?", name, nearest);
	return err_set(err, -EINVAL, "unknown command '%s'; '%s help' lists the commands", name, program.name);
}

static int run_help(int argc, char **argv, struct err *err)
{
	const char *name = argc > 1 ? argv[1] : NULL, *nearest;
	const struct cli_command *command;

	if (argc > 2)
		return err_set(err, -EINVAL, "help takes one command, and '%s' is one too many", argv[2]);
	if (!name) {
		print_usage(stdout);
		return 0;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	command = cli_find_command(commands, ARRAY_LEN(commands), name, &nearest);
	if (!command)
		return unknown(name, nearest, err);
	cli_print_help(stdout, &program, command);
	return 0;
}

static int run_completion(int argc, char **argv, struct err *err)
{
	int rc = completion_run(stdout, &program, argc, argv, err);

	if (rc == 1)
		cli_print_help(stdout, &program, &cmd_completion);
	return rc < 0 ? rc : 0;
}

static int dispatch(int argc, char **argv, struct err *err)
{
	const struct cli_command *command;
	const char *nearest;

	if (argc < 2) {
		print_usage(stderr);
		return err_set(err, -EINVAL, "a command is needed");
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("%s %s\n", program.name, PERFPROBE_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return run_help(argc - 1, argv + 1, err);
	if (argv[1][0] == '-')
		return err_set(err, -EINVAL, "a command comes before '%s'; '%s help' lists the commands", argv[1],
		               program.name);
	command = cli_find_command(commands, ARRAY_LEN(commands), argv[1], &nearest);
	if (!command)
		return unknown(argv[1], nearest, err);
	return command->run(argc - 1, argv + 1, err);
}

static int exit_code(int rc)
{
	if (rc >= 0)
		return rc; /* CLI_DONE, or CLI_CHECK of a check that did not hold */
	return rc == -EINVAL || rc == -ENOSYS ? CLI_USAGE : CLI_FAILED;
}

/* The sentence may name a file, and so may hold what a terminal would obey. */
static void print_error(const struct err *err)
{
	struct buf clean = { 0 };

	clean_text(&clean, err->text);
	fprintf(stderr, "%s: %s\n", program.name, clean.data && !clean.failed ? clean.data : "out of memory");
	buf_done(&clean);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int rc;

	/* A reader that went away (| head) is an error of write(), told like any other. */
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(built); i++)
		commands[i] = *built[i];
	program = cmd_program;
	program.commands = commands;
	program.count = ARRAY_LEN(commands);
	rc = dispatch(argc, argv, &err);
	if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0)
		rc = err_set(&err, -EIO, "cannot write to standard output");
	if (rc < 0)
		print_error(&err);
	return exit_code(rc);
}

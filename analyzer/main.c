/*
 * main.c - the table of commands, dispatch, exit codes.
 *
 * Only this file prints errors: one line, "probe-analyze: sentence".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

/* Every command of the program in the order of its help. What has no `run` is not built yet. */
static const struct cli_command *const built[] = { &cmd_info,  &cmd_report,     &cmd_diff,
	                                           &cmd_leaks, &cmd_flamegraph, &cmd_export };

static const struct {
	const char *name, *help;
} later[] = {
	{ "requests", "latency by route, the slowest requests with their stacks" },
	{ "html", "one self-contained interactive page" },
	{ "merge", "one profile from many" },
	{ "serve", "the interactive page, live, over a directory" },
	{ "top", "a live terminal view of a process" },
	{ "push", "send as pprof to a continuous-profiling server" },
	{ "results", "load-test results" },
};

static const char prog[] = "probe-analyze";

static size_t copy_commands(struct cli_command commands[ARRAY_LEN(built)])
{
	for (size_t i = 0; i < ARRAY_LEN(built); i++)
		commands[i] = *built[i];
	return ARRAY_LEN(built);
}

static void print_usage(FILE *out)
{
	struct cli_command commands[ARRAY_LEN(built)];
	size_t n = copy_commands(commands);

	cli_print_commands(out, prog, "Turns perfprobe snapshots (.snap) into answers.", commands, n, NULL);
	fprintf(out, "\nnot built yet:");
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		fprintf(out, " %s", later[i].name);
	fprintf(out, "\n\nexit status: 0 done, 1 failed, 2 wrong usage, 3 a check asked for did not hold\n");
}

/* Commands and their long options from the same tables, for bash's programmable completion. */
static int completion(const char *shell, struct err *err)
{
	if (!shell || strcmp(shell, "bash") != 0)
		return err_set(err, -EINVAL, "completion needs the name of a shell; there is bash");
	printf("_probe_analyze()\n{\n\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" words=\n"
	       "\tcase \"${COMP_WORDS[1]}\" in\n");
	for (size_t i = 0; i < ARRAY_LEN(built); i++) {
		printf("\t%s) words=\"--help", built[i]->name);
		for (const struct cli_option *o = built[i]->options; o->name; o++)
			printf(" --%s", o->name);
		printf("\" ;;\n");
	}
	printf("\tesac\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < ARRAY_LEN(built); i++)
		printf("%s ", built[i]->name);
	printf("help --version\" -- \"$cur\"))\n\telif [[ $cur == -* ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	       "\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\n"
	       "complete -o filenames -F _probe_analyze probe-analyze\n");
	return 0;
}

static int unknown(const char *name, const char *nearest, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (strcmp(later[i].name, name) == 0)
			return err_set(err, -ENOSYS, "%s (%s) is not built yet", name, later[i].help);
	if (nearest)
		return err_set(err, -EINVAL, "unknown command '%s'; did you mean '%s'?", name, nearest);
	return err_set(err, -EINVAL, "unknown command '%s'; '%s help' lists the commands", name, prog);
}

static int help(const char *name, struct err *err)
{
	struct cli_command commands[ARRAY_LEN(built)];
	const struct cli_command *command;
	const char *nearest;

	if (!name) {
		print_usage(stdout);
		return 0;
	}
	command = cli_find_command(commands, copy_commands(commands), name, &nearest);
	if (!command)
		return unknown(name, nearest, err);
	cli_print_help(stdout, prog, command);
	return 0;
}

static int dispatch(int argc, char **argv, struct err *err)
{
	struct cli_command commands[ARRAY_LEN(built)];
	const struct cli_command *command;
	const char *nearest;

	if (argc < 2) {
		print_usage(stderr);
		return err_set(err, -EINVAL, "a command is needed");
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("%s %s\n", prog, PERFPROBE_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help(argc > 2 ? argv[2] : NULL, err);
	if (strcmp(argv[1], "completion") == 0)
		return completion(argc > 2 ? argv[2] : NULL, err);
	command = cli_find_command(commands, copy_commands(commands), argv[1], &nearest);
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

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int rc;

	/* A reader that went away (| head) is an error of write(), told like any other. */
	(void)signal(SIGPIPE, SIG_IGN);
	rc = dispatch(argc, argv, &err);
	if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0)
		rc = err_set(&err, -EIO, "cannot write to standard output");
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", prog, err.text);
	return exit_code(rc);
}

/*
 * launcher.c - `perfprobe`: start a program under the library, and talk to programs that run under it.
 *
 * `run` turns flags into PERFPROBE_* variables (one flag for each line of preload/options.def), puts the library into
 * LD_PRELOAD and becomes the program: no process of ours stays behind, so signals, job control and the exit status are
 * the program's own.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cli.h"
#include "control_client.h"
#include "launch_target.h"
#include "units.h"

enum option_index {
#define OPTION(NAME, field, kind, def, value, state, help) OPTION_##NAME,
#include "preload/options.def"
#undef OPTION
	OPTION_COUNT
};

struct variable {
	const char *name, *def, *value, *help;
};
static const struct variable variables[OPTION_COUNT] = {
#define OPTION(NAME, field, kind, def, value, state, help) { #NAME, def, value, help },
#include "preload/options.def"
#undef OPTION
};

struct run_options {
	const char *value[OPTION_COUNT]; /* NULL: not given */
};

/* Made from `variables` once by options_make(): names in lower case, defaults in the help. */
static struct cli_option run_option_table[OPTION_COUNT + 1];
static char option_names[OPTION_COUNT][32];
static char option_helps[OPTION_COUNT][160];

static void options_make(void)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct variable *v = &variables[i];
		size_t n = 0;

		for (; v->name[n]; n++)
			option_names[i][n] = v->name[n] == '_' ? '-' : (char)tolower((unsigned char)v->name[n]);
		(void)snprintf(option_helps[i], sizeof(option_helps[i]), *v->def ? "%s [%s]" : "%s", v->help, v->def);
		run_option_table[i] = (struct cli_option){
			.name = option_names[i],
			.kind = CLI_STRING,
			.value = v->value,
			.help = option_helps[i],
			.offset = offsetof(struct run_options, value) + i * sizeof(const char *),
		};
	}
}

/* How many words of argv belong to us: up to "--" or the first word that is neither an option nor its value. All our
 * options but --help take a value, so the program's own options are never taken for ours. */
static int own_words(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
		bool has_value =
		        strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i], "--help") != 0 && !strchr(argv[i], '=');

		i += has_value ? 2 : 1;
	}
	return i < argc ? i : argc;
}

static bool readable(const char *path)
{
	return access(path, R_OK) == 0;
}

/* Candidates in order: PERFPROBE_LIB; the built or installed tree that this program stands in; where it was configured
 * to be installed. */
static int find_library(char *ret_path, size_t size, struct err *err)
{
	static const char *const beside[] = { "../lib", "../" PERFPROBE_LIBDIR };
	const char *asked = getenv("PERFPROBE_LIB");
	char self[PATH_MAX], candidate[2 * PATH_MAX];
	ssize_t len;

	if (asked && *asked) {
		if (!realpath(asked, ret_path) || !readable(ret_path))
			return err_set(err, -ENOENT, "PERFPROBE_LIB=%s: %s", asked, strerror(errno));
		return 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[len > 0 ? len : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
		(void)snprintf(candidate, sizeof(candidate), "%s/%s/libperfprobe.so", self, beside[i]);
		if (realpath(candidate, ret_path) && readable(ret_path))
			return 0;
	}
	(void)snprintf(ret_path, size, "%s/libperfprobe.so", PERFPROBE_FULL_LIBDIR);
	if (readable(ret_path))
		return 0;
	return err_set(err, -ENOENT,
	               "libperfprobe.so is not beside this program (%s/../lib) nor in %s; PERFPROBE_LIB may name it",
	               self, PERFPROBE_FULL_LIBDIR);
}

/* Ours first: the first definition of malloc wins, and a preloaded allocator behind us is then what we call. */
static int preload_library(const char *library, struct err *err)
{
	const char *old = getenv("LD_PRELOAD");
	struct buf value = { 0 };
	int rc = 0;

	if (strpbrk(library, " :"))
		return err_set(err, -ENOTSUP,
		               "%s: LD_PRELOAD cannot hold a path with a blank or a colon; move the library", library);
	buf_add_str(&value, library);
	if (old && *old && strcmp(old, library) != 0)
		buf_printf(&value, ":%s", old);
	if (value.failed || setenv("LD_PRELOAD", value.data, 1) < 0)
		rc = err_set(err, -ENOMEM, "out of memory");
	buf_done(&value);
	return rc;
}

static int export_options(const struct run_options *o, struct err *err)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "PERFPROBE_%s", variables[i].name);
		if (o->value[i] && setenv(name, o->value[i], 1) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	unsetenv("PERFPROBE_LIB"); /* ours, not the library's */
	return 0;
}

static void print_warnings(const char *path)
{
	struct buf sentences = { 0 };

	launch_target_warn(path, &sentences);
	for (char *line = sentences.data; line && *line; line = strchr(line, '\n') + 1)
		fprintf(stderr, "perfprobe: warning: %.*s\n", (int)strcspn(line, "\n"), line);
	buf_done(&sentences);
}

/* As shells have it, POSIX 2.8.2. */
enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static int run_program(char **argv)
{
	char path[PATH_MAX];
	int rc = launch_target_find(argv[0], path, sizeof(path));

	if (rc == -ENOENT) {
		fprintf(stderr, "perfprobe: %s: command not found\n", argv[0]);
		return EXIT_NOT_FOUND;
	}
	if (rc == 0) {
		print_warnings(path);
		execvp(argv[0], argv);
		rc = -errno;
	}
	fprintf(stderr, "perfprobe: %s: %s\n", argv[0], strerror(-rc));
	return rc == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int print_own_help(const char *name);

static int command_run(int argc, char **argv, struct err *err)
{
	struct run_options options = { 0 };
	struct cli_args args;
	char library[PATH_MAX];
	int own = own_words(argc, argv);
	int rc = cli_parse(run_option_table, own, argv, &options, &args, err);

	if (rc < 0)
		return rc;
	if (args.help)
		return print_own_help(argv[0]);
	if (own < argc && strcmp(argv[own], "--") == 0)
		own++;
	if (own >= argc)
		return err_set(err, -EINVAL, "which program? perfprobe run [options] -- CMD...");
	rc = find_library(library, sizeof(library), err);
	if (rc == 0)
		rc = preload_library(library, err);
	if (rc == 0)
		rc = export_options(&options, err);
	return rc < 0 ? rc : run_program(argv + own);
}

/* The only argument kind of the other commands: a process id. */
static int parse_pid(const char *text, pid_t *ret_pid, struct err *err)
{
	uint64_t value;

	if (units_parse_count(text, &value) < 0 || value == 0 || value > INT_MAX)
		return err_set(err, -EINVAL, "'%s' is not a process id; 'perfprobe list' shows them", text);
	*ret_pid = (pid_t)value;
	return 0;
}

static const struct cli_option no_options[] = { CLI_END };

/* Parses a command line of `wanted` arguments; `usage` says which. Returns 1 when help was printed and all is done. */
static int plain_args(int argc, char **argv, size_t wanted, const char *usage, struct cli_args *ret_args,
                      struct err *err)
{
	const char *name = argv[0];
	int rc = cli_parse(no_options, argc, argv, NULL, ret_args, err);

	if (rc < 0)
		return rc;
	if (ret_args->help)
		return print_own_help(name) == CLI_DONE;
	if (ret_args->count != wanted)
		return err_set(err, -EINVAL, "usage: perfprobe %s%s%s", name, *usage ? " " : "", usage);
	return 0;
}

static int command_list(int argc, char **argv, struct err *err)
{
	struct cli_args args;
	int rc = plain_args(argc, argv, 0, "", &args, err);

	if (rc != 0)
		return rc < 0 ? rc : CLI_DONE;
	rc = control_client_list(stdout, err);
	if (rc == 0)
		fprintf(stderr, "perfprobe: no process%s runs under perfprobe\n", geteuid() == 0 ? "" : " of yours");
	return rc < 0 ? rc : CLI_DONE;
}

/* snapshot, leaks, start, stop, status: the command's name is the request. */
static int command_request(int argc, char **argv, struct err *err)
{
	const char *request = argv[0];
	struct cli_args args;
	pid_t pid = 0;
	int rc = plain_args(argc, argv, 1, "PID", &args, err);

	if (rc != 0)
		return rc < 0 ? rc : CLI_DONE;
	rc = parse_pid(args.items[0], &pid, err);
	return rc < 0 ? rc : control_client_send(pid, request, stdout, err);
}

static bool is_variable(const char *name, size_t len)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strlen(variables[i].name) == len && memcmp(variables[i].name, name, len) == 0)
			return true;
	return false;
}

static int command_set(int argc, char **argv, struct err *err)
{
	static const char prefix[] = "PERFPROBE_";
	const char *assignment, *equals;
	struct buf request = { 0 };
	struct cli_args args;
	pid_t pid = 0;
	int rc = plain_args(argc, argv, 2, "PID NAME=VALUE", &args, err);

	if (rc != 0)
		return rc < 0 ? rc : CLI_DONE;
	rc = parse_pid(args.items[0], &pid, err);
	if (rc < 0)
		return rc;
	assignment = args.items[1];
	if (strncmp(assignment, prefix, strlen(prefix)) == 0)
		assignment += strlen(prefix);
	equals = strchr(assignment, '=');
	if (!equals || strchr(assignment, '\n'))
		return err_set(err, -EINVAL, "'%s' is not NAME=VALUE", args.items[1]);
	if (!is_variable(assignment, (size_t)(equals - assignment)))
		return err_set(err, -EINVAL, "there is no variable PERFPROBE_%.*s; 'perfprobe run --help' lists them",
		               (int)(equals - assignment), assignment);
	buf_printf(&request, "set %s", assignment);
	rc = request.failed ? err_set(err, -ENOMEM, "out of memory")
	                    : control_client_send(pid, request.data, stdout, err);
	buf_done(&request);
	return rc;
}

static const struct cli_command commands[] = {
	{ "run", command_run, run_option_table, "-- CMD...", "start a program under the library",
	  "  perfprobe run -- ./server --port 8080\n"
	  "  perfprobe run --heap full --every 10s --dir /tmp/profiles -- ./server\n" },
	{ "list", command_list, no_options, "", "processes that run under the library", NULL },
	{ "snapshot", command_request, no_options, "PID", "write a snapshot now; prints its path", NULL },
	{ "leaks", command_request, no_options, "PID", "check for unreachable blocks now", NULL },
	{ "start", command_request, no_options, "PID", "record again after stop", NULL },
	{ "stop", command_request, no_options, "PID", "stop recording; the program goes on", NULL },
	{ "set", command_set, no_options, "PID NAME=VALUE", "change an option while it runs", NULL },
	{ "status", command_request, no_options, "PID", "engines, options and counters", NULL },
};

static int print_own_help(const char *name)
{
	const char *nearest;
	const struct cli_command *command = cli_find_command(commands, ARRAY_LEN(commands), name, &nearest);

	assert(command);
	cli_print_help(stdout, "perfprobe", command);
	return CLI_DONE;
}

static void print_usage(FILE *out)
{
	cli_print_commands(
	        out, "perfprobe", "Profiles an unmodified program from inside, by a preloaded library.", commands,
	        ARRAY_LEN(commands),
	        "\nThe snapshots that are written are read with probe-analyze. Every option of 'run' is also the\n"
	        "environment variable PERFPROBE_NAME, for programs started with LD_PRELOAD=libperfprobe.so.\n");
}

static int dispatch(int argc, char **argv, struct err *err)
{
	const struct cli_command *command;
	const char *nearest;

	if (argc < 2) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return CLI_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("perfprobe %s\n", PERFPROBE_VERSION);
		return CLI_DONE;
	}
	command = cli_find_command(commands, ARRAY_LEN(commands), argv[1], &nearest);
	if (!command)
		return err_set(err, -EINVAL, "there is no command '%s'%s%s%s", argv[1],
		               nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	return command->run(argc - 1, argv + 1, err);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int rc;

	options_make();
	rc = dispatch(argc, argv, &err);
	if (rc >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		rc = err_set(&err, -EIO, "cannot write the result: %s", strerror(errno));
	if (rc >= 0)
		return rc;
	fprintf(stderr, "perfprobe: %s\n", err.text);
	return rc == -EINVAL ? CLI_USAGE : CLI_FAILED;
}

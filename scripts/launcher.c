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
#include "completion.h"
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
	const char *name, *kind, *def, *value, *help, *state;
};
static const struct variable variables[OPTION_COUNT] = {
#define OPTION(NAME, field, kind, def, value, state, help) { #NAME, #kind, def, value, help, #state },
#include "preload/options.def"
#undef OPTION
};

/* What the options of a kind take, if that is one of some words. */
static const struct {
	const char *kind, *word;
} option_words[] = {
#define OPTION_WORD(kind, word, value) { #kind, word },
#include "preload/option_words.def"
#undef OPTION_WORD
};

struct run_options {
	const char *value[OPTION_COUNT]; /* NULL: not given */
};

/* Made from `variables` once by options_make(): names in lower case, words for values, defaults in the help. */
static struct cli_option run_option_table[OPTION_COUNT + 1];
static char option_names[OPTION_COUNT][32];
static char option_values[OPTION_COUNT][64];
static char option_helps[OPTION_COUNT][200];

/* "sampled|full|off", or the name in capitals that the table has. */
static void value_make(const struct variable *v, char *ret_value, size_t size)
{
	size_t used = 0;

	(void)snprintf(ret_value, size, "%s", v->value);
	for (size_t i = 0; i < ARRAY_LEN(option_words); i++)
		if (strcmp(option_words[i].kind, v->kind) == 0 && used < size)
			used += (size_t)snprintf(ret_value + used, size - used, "%s%s", used ? "|" : "",
			                         option_words[i].word);
}

static bool has_words(const char *value)
{
	return strchr(value, '|') != NULL;
}

static void options_make(void)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct variable *v = &variables[i];
		bool later = strcmp(v->state, "LATER") == 0;
		size_t n = 0;

		for (; v->name[n]; n++)
			option_names[i][n] = v->name[n] == '_' ? '-' : (char)tolower((unsigned char)v->name[n]);
		value_make(v, option_values[i], sizeof(option_values[i]));
		(void)snprintf(option_helps[i], sizeof(option_helps[i]), "%s%s%s%s%s", v->help, *v->def ? " [" : "",
		               v->def, *v->def ? "]" : "", later ? " (not built yet)" : "");
		run_option_table[i] = (struct cli_option){
			.name = option_names[i],
			.kind = has_words(option_values[i]) ? CLI_CHOICE : CLI_STRING,
			.value = option_values[i],
			.help = option_helps[i],
			.offset = offsetof(struct run_options, value) + i * sizeof(const char *),
		};
	}
}

/* What cannot be a value of the variable, told before the program starts: the library would keep the default and go on.
 * `subject` is how it was given: "--cpu", "PERFPROBE_CPU". */
static int check_value(size_t index, const char *subject, const char *text, struct err *err)
{
	const char *kind = variables[index].kind;
	uint64_t number;

	if (has_words(option_values[index]))
		return cli_check_choice(subject, option_values[index], text, err);
	if (strcmp(kind, "COUNT") == 0 && units_parse_count(text, &number) < 0)
		return err_set(err, -EINVAL, "%s takes a whole number, not '%s'", subject, text);
	if (strcmp(kind, "BYTES") == 0 && units_parse_bytes(text, &number) < 0)
		return err_set(err, -EINVAL, "%s takes a size such as 64k or 500M, not '%s'", subject, text);
	if (strcmp(kind, "DURATION") == 0 && strcmp(text, "off") != 0 && units_parse_duration(text, &number) < 0)
		return err_set(err, -EINVAL, "%s takes a duration such as 250ms, 10s or 1m30s, or off, not '%s'",
		               subject, text);
	return 0;
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
		char name[64], flag[64];
		int rc;

		(void)snprintf(flag, sizeof(flag), "--%.60s", option_names[i]);
		rc = o->value[i] ? check_value(i, flag, o->value[i], err) : 0;
		if (rc < 0)
			return rc;
		(void)snprintf(name, sizeof(name), "PERFPROBE_%s", variables[i].name);
		if (o->value[i] && setenv(name, o->value[i], 1) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
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
	rc = export_options(&options, err);
	if (rc == 0)
		rc = find_library(library, sizeof(library), err);
	if (rc == 0)
		rc = preload_library(library, err);
	if (rc == 0)
		unsetenv("PERFPROBE_LIB"); /* ours, not the library's */
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
	if (ret_args->count < wanted)
		return err_set(err, -EINVAL, "%s needs more; usage: perfprobe %s %s", name, name, usage);
	if (ret_args->count > wanted)
		return err_set(err, -EINVAL, "'%s' is one too many; usage: perfprobe %s%s%s", ret_args->items[wanted],
		               name, *usage ? " " : "", usage);
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

/* "NAME=VALUE" with a name of `len` characters. */
static int check_assignment(const char *assignment, size_t len, struct err *err)
{
	const char *nearest = NULL;
	char name[32], subject[64];
	unsigned best = 0;

	(void)snprintf(name, sizeof(name), "%.*s", (int)len, assignment);
	(void)snprintf(subject, sizeof(subject), "PERFPROBE_%s", name);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		unsigned likeness = cli_likeness(name, variables[i].name);

		if (strlen(variables[i].name) == len && memcmp(variables[i].name, assignment, len) == 0)
			return check_value(i, subject, assignment + len + 1, err);
		if (likeness > best) {
			best = likeness;
			nearest = variables[i].name;
		}
	}
	if (nearest)
		return err_set(err, -EINVAL, "there is no variable PERFPROBE_%.*s; did you mean %s?", (int)len,
		               assignment, nearest);
	return err_set(err, -EINVAL, "there is no variable PERFPROBE_%.*s; 'perfprobe run --help' lists them", (int)len,
	               assignment);
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
	if (!equals || equals == assignment || strchr(assignment, '\n'))
		return err_set(err, -EINVAL, "'%s' is not NAME=VALUE", args.items[1]);
	rc = check_assignment(assignment, (size_t)(equals - assignment), err);
	if (rc < 0)
		return rc;
	buf_printf(&request, "set %s", assignment);
	rc = request.failed ? err_set(err, -ENOMEM, "out of memory")
	                    : control_client_send(pid, request.data, stdout, err);
	buf_done(&request);
	return rc;
}

static int command_completion(int argc, char **argv, struct err *err);
static int command_help(int argc, char **argv, struct err *err);

static const struct cli_command commands[] = {
	{ "run", command_run, run_option_table, "-- CMD...", "start a program under the library",
	  "  perfprobe run -- ./server --port 8080\n"
	  "  perfprobe run --heap full --every 10s --dir /tmp/profiles -- ./server\n"
	  "\n"
	  "DURATION: 250ms, 10s, 1m30s, or off. SIZE: bytes, or 64k, 500M, 2G. Defaults stand in brackets. The first "
	  "word that\n"
	  "is neither an option nor its value begins the command; -- may stand before it.\n" },
	{ "list", command_list, no_options, "", "processes that run under the library", "  perfprobe list\n" },
	{ "snapshot", command_request, no_options, "PID", "write a snapshot now; prints its path",
	  "  perfprobe snapshot 4711\n  probe-analyze report $(perfprobe snapshot 4711)\n" },
	{ "leaks", command_request, no_options, "PID", "check for unreachable blocks now", "  perfprobe leaks 4711\n" },
	{ "start", command_request, no_options, "PID", "record again after stop", "  perfprobe start 4711\n" },
	{ "stop", command_request, no_options, "PID", "stop recording; the program goes on",
	  "  perfprobe stop 4711\n" },
	{ "set", command_set, no_options, "PID NAME=VALUE", "change an option while it runs",
	  "  perfprobe set 4711 EVERY=1m                 with or without PERFPROBE_ before it\n"
	  "  perfprobe set 4711 DIR=/var/tmp/profiles    an absolute name\n" },
	{ "status", command_request, no_options, "PID", "engines, options and counters", "  perfprobe status 4711\n" },
	{ "completion", command_completion, no_options, COMPLETION_ARGS, COMPLETION_HELP,
	  "  source <(perfprobe completion bash)         in ~/.bashrc; the same for zsh, after compinit\n"
	  "  perfprobe completion fish | source          in config.fish\n" },
	{ "help", command_help, no_options, "[COMMAND]", "the same as --help", "  perfprobe help run\n" },
};

static const struct cli_program program = {
	.name = "perfprobe",
	.purpose = "Profiles an unmodified program from inside, by a preloaded library.",
	.commands = commands,
	.count = ARRAY_LEN(commands),
	.exit_status =
	        "  run: that of the program, 126 if it was found but cannot be executed, 127 if it was not found\n"
	        "  0 done, 1 failed, 2 wrong usage\n",
	.footer = "\nThe snapshots that are written are read with probe-analyze. Every option of 'run' is also the\n"
	          "environment variable PERFPROBE_NAME, for programs started with LD_PRELOAD=libperfprobe.so.\n",
};

static int print_own_help(const char *name)
{
	const char *nearest;
	const struct cli_command *command = cli_find_command(commands, ARRAY_LEN(commands), name, &nearest);

	assert(command);
	cli_print_help(stdout, &program, command);
	return CLI_DONE;
}

static int no_such_command(const char *name, const char *nearest, struct err *err)
{
	char path[PATH_MAX];

	if (nearest)
		return err_set(err, -EINVAL, "there is no command '%s'; did you mean '%s'?", name, nearest);
	if (launch_target_find(name, path, sizeof(path)) == 0)
		return err_set(err, -EINVAL, "there is no command '%s'; to start a program: perfprobe run -- %s", name,
		               name);
	return err_set(err, -EINVAL, "there is no command '%s'; 'perfprobe help' lists them", name);
}

static int command_help(int argc, char **argv, struct err *err)
{
	const char *nearest, *name = argc > 1 ? argv[1] : NULL;

	if (argc > 2)
		return err_set(err, -EINVAL, "help takes one command, and '%s' is one too many", argv[2]);
	if (!name)
		cli_print_commands(stdout, &program);
	else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return print_own_help(argv[0]);
	else if (cli_find_command(commands, ARRAY_LEN(commands), name, &nearest))
		return print_own_help(name);
	else
		return no_such_command(name, nearest, err);
	return CLI_DONE;
}

static void free_text(char **text)
{
	free(*text);
}

/* Candidates for PID: what `list` shows, each "PID tab COMMAND". */
static char *running_processes(void)
{
	char *list CLEANUP(free_text) = NULL;
	char *lines = NULL, *rest, *line;
	size_t size = 0;
	int count;
	struct err ignored; /* no processes, no candidates */
	FILE *out = open_memstream(&list, &size);

	if (!out)
		return NULL;
	count = control_client_list(out, &ignored);
	if (fclose(out) != 0 || count <= 0)
		return NULL;
	out = open_memstream(&lines, &size);
	if (!out)
		return NULL;
	(void)strtok_r(list, "\n", &rest); /* the headings */
	while ((line = strtok_r(NULL, "\n", &rest))) {
		int pid, command = 0;

		if (sscanf(line, "%d %*u %*s %n", &pid, &command) == 1 && command)
			fprintf(out, "%d\t%s\n", pid, line + command);
	}
	if (fclose(out) != 0) {
		free(lines);
		return NULL;
	}
	return lines;
}

/* Candidates for NAME=VALUE, of what may be set while a program runs: the whole of it where the values are words, else as far
 * as "NAME=". */
static void assignments(struct buf *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *at = option_values[i], *word;
		size_t len;

		if (strcmp(variables[i].state, "RUNTIME") != 0)
			continue;
		if (!has_words(at))
			buf_printf(out, "%s=\t%s\n", variables[i].name, option_helps[i]);
		while (has_words(option_values[i]) && cli_next_alternative(&at, &word, &len))
			buf_printf(out, "%s=%.*s\t%s\n", variables[i].name, (int)len, word, option_helps[i]);
	}
}

static int command_completion(int argc, char **argv, struct err *err)
{
	char *processes CLEANUP(free_text) = running_processes();
	CLEANUP(buf_done) struct buf sets = { 0 };
	struct cli_value values[] = {
		{ "PID", CLI_WORDS, processes },
		{ "NAME=VALUE", CLI_WORDS, NULL },
		{ "CMD", CLI_COMMAND, NULL },
		{ NULL, CLI_WORDS, NULL },
	};
	struct cli_program with_values = program;
	int rc;

	assignments(&sets);
	values[1].list = sets.failed ? NULL : sets.data;
	with_values.values = values;
	rc = completion_run(stdout, &with_values, argc, argv, err);
	return rc == 1 ? print_own_help(argv[0]) : rc;
}

static int dispatch(int argc, char **argv, struct err *err)
{
	const struct cli_command *command;
	const char *nearest;

	if (argc < 2) {
		cli_print_commands(stderr, &program);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		cli_print_commands(stdout, &program);
		return CLI_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("perfprobe %s\n", PERFPROBE_VERSION);
		return CLI_DONE;
	}
	if (argv[1][0] == '-')
		return err_set(err, -EINVAL, "a command comes before '%s'; 'perfprobe help' lists the commands",
		               argv[1]);
	command = cli_find_command(commands, ARRAY_LEN(commands), argv[1], &nearest);
	if (!command)
		return no_such_command(argv[1], nearest, err);
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

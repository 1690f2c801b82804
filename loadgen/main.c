/*
 * main.c - command line -> plan -> engine -> outputs.
 *
 * The only file that prints, reads signals and knows exit codes.
 */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "buf.h"
#include "cli.h"
#include "cmd_lint.h"
#include "cmd_run.h"
#include "completion.h"
#include "engine.h"
#include "net.h"
#include "out.h"
#include "plan.h"
#include "units.h"
#include "verdict.h"

/* DESIGN: k6's numbers where k6 has one. Usage is 1 here, as load drivers have it, not 2. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_INTERRUPTED = 105 };
enum { PROGRESS_MS = 200, OUTPUTS_MAX = 8 };

struct options {
	struct plan_request request;
	struct cli_list out, env, variables;
	const char *summary_export, *target, *threshold, *html, *spawn, *ready;
	bool json, quiet, version, profile;
};

#define AT(field) offsetof(struct options, field)
static const struct cli_option options[] = {
	{ "connections", 'c', CLI_U64, "N", "connections, each with one request under way (default 10)",
	  AT(request.connections) },
	{ "threads", 't', CLI_U64, "N", "threads (default: half of the CPUs)", AT(request.threads) },
	{ "duration", 'd', CLI_DURATION, "D", "start requests for this long (default 10s if there is no -n)",
	  AT(request.duration_ns) },
	{ "requests", 'n', CLI_U64, "N", "stop after N attempts; failures count, nothing is retried",
	  AT(request.requests) },
	{ "method", 'm', CLI_STRING, "METHOD", "default GET, or POST with a body", AT(request.method) },
	{ "header", 'H', CLI_LIST, "HEADER", "'Name: value', may be repeated; 'Name:' takes out a default one",
	  AT(request.headers) },
	{ "body", 'b', CLI_STRING, "BODY|@FILE", "the request's body", AT(request.body) },
	{ "timeout", 0, CLI_DURATION, "D", "of one attempt, connecting included (default 60s)",
	  AT(request.timeout_ns) },
	{ "rate", 'r', CLI_DOUBLE, "RATE", "start RATE requests a second, whatever became of the ones before",
	  AT(request.rate) },
	{ "poisson", 0, CLI_FLAG, NULL, "-r: at random moments, RATE a second on average", AT(request.poisson) },
	{ "precise", 0, CLI_FLAG, NULL, "-r: wait for each start awake, which takes a whole CPU a thread",
	  AT(request.precise) },
	{ "max-backlog", 0, CLI_U64, "N", "-r: drop starts, and count them, when N are overdue (default 1000000)",
	  AT(request.backlog_max) },
	{ "stage", 0, CLI_LIST, "D:TARGET", "go to TARGET connections, or RATE with -r, in time D; may be repeated",
	  AT(request.stages) },
	{ "preset", 0, CLI_STRING, "smoke|load|stress|spike|endurance|volume", "stages of a usual kind of test",
	  AT(request.preset) },
	{ "time-scale", 0, CLI_DOUBLE, "F", "multiply every duration by F", AT(request.time_scale) },
	{ "warmup", 0, CLI_DURATION, "D", "run for D before anything is measured", AT(request.warmup_ns) },
	{ "seed", 0, CLI_U64, "N", "of random choices; the same N, the same choices (default 1)", AT(request.seed) },
	{ "unix-socket", 0, CLI_STRING, "PATH", "connect to this socket, whatever host the URL names",
	  AT(request.unix_socket) },
	{ "insecure", 'k', CLI_FLAG, NULL, "https: take any certificate", AT(request.tls.insecure) },
	{ "cacert", 0, CLI_STRING, "FILE", "https: certificates to trust, instead of the system's",
	  AT(request.tls.ca_file) },
	{ "cert", 0, CLI_STRING, "FILE", "https: the client's certificate, PEM", AT(request.tls.cert_file) },
	{ "key", 0, CLI_STRING, "FILE", "https: its key, if that is not in the same file", AT(request.tls.key_file) },
	{ "tls-resume", 0, CLI_FLAG, NULL, "https: new connections resume the session of one before",
	  AT(request.tls_resume) },
	{ "out", 0, CLI_LIST, "json=FILE", "write the results to a file, too", AT(out) },
	{ "summary-export", 0, CLI_STRING, "FILE", "the same as --out json=FILE", AT(summary_export) },
	{ "json", 0, CLI_FLAG, NULL, "print JSON instead of text", AT(json) },
	{ "quiet", 'q', CLI_FLAG, NULL, "no progress line", AT(quiet) },
	{ "version", 0, CLI_FLAG, NULL, "print the version", AT(version) },
	{ "target", 0, CLI_STRING, "URL", "of a plan: see 'probe-load help run'", AT(target) },
	{ "threshold", 0, CLI_STRING, "EXPR", "fail unless it holds (not built yet)", AT(threshold) },
	{ "html", 0, CLI_STRING, "FILE", "a report page (not built yet)", AT(html) },
	{ "spawn", 0, CLI_STRING, "CMD", "start the server, too (not built yet)", AT(spawn) },
	{ "ready", 0, CLI_STRING, "URL", "when the server is ready (not built yet)", AT(ready) },
	{ "profile", 0, CLI_FLAG, NULL, "the server under the library (not built yet)", AT(profile) },
	{ "env", 'e', CLI_LIST, "NAME=VALUE", "of a plan: see 'probe-load help run'", AT(env) },
	{ "jmeter-property", 'J', CLI_LIST, "NAME=VALUE", "of a plan: see 'probe-load help run'", AT(variables) },
	CLI_END,
};
#undef AT

static const char examples[] =
        "  probe-load http://127.0.0.1:8080/ -c 64 -d 30s\n"
        "  probe-load http://127.0.0.1:8080/ -n 100000 -c 8 --out json=result.json\n"
        "  probe-load http://127.0.0.1:8080/ -r 5000 -d 1m --warmup 5s\n"
        "  probe-load http://127.0.0.1:8080/ --stage 1m:100 --stage 5m:100 --stage 1m:0\n"
        "  probe-load http://[::1]:8080/items -m PUT -b @item.json -H 'Content-Type: application/json'\n"
        "\n"
        "A request that is under way when the time is up is waited for, up to its timeout; Ctrl-C ends at once and "
        "prints\n"
        "what was measured. Redirects are counted, not followed. Latency runs from the send to the last byte.\n"
        "D is a duration: 250ms, 10s, 1m30s. 'probe-load completion bash' (zsh, fish) prints a script for the shell,\n"
        "'probe-load help' this text.\n";

static const struct cli_command command = {
	"",
	NULL,
	options,
	"URL",
	"Drives an HTTP/1.1 server as fast as it answers, and measures how long it takes.",
	examples
};

/* In place of the URL. A server of such a name is reached as http://help/. */
static const struct cli_command words[] = {
	{ "run", NULL, cmd_run_options, "PLAN", "plays a plan (JMeter, Artillery, own) and counts by request",
	  "  probe-load run plan.jmx -Jbase_url=http://127.0.0.1:8080\n  probe-load run load.yml --target "
	  "http://127.0.0.1:8080 --time-scale 0.1\n" },
	{ "lint", NULL, cmd_lint_options, "PLAN",
	  "what cannot work in a plan (JMeter, Artillery, own), before it is run",
	  "  probe-load lint plan.jmx\n  probe-load lint load.yml --target http://127.0.0.1:8080\n" },
	{ "completion", NULL, NULL, COMPLETION_ARGS, COMPLETION_HELP, NULL },
	{ "help", NULL, NULL, "[COMMAND]", "the same as --help", "  probe-load help completion\n" },
	{ NULL, NULL, NULL, NULL, NULL, NULL },
};

static const struct cli_value values[] = { { "URL", CLI_WORDS, "http://" },
	                                   { "PLAN", CLI_FILES, "jmx yml yaml json" },
	                                   { "METHOD", CLI_WORDS, "GET\nHEAD\nPOST\nPUT\nPATCH\nDELETE\nOPTIONS" },
	                                   { NULL, CLI_WORDS, NULL } };

static const struct cli_program program = {
	.name = "probe-load",
	.commands = &command,
	.count = 1,
	.words = words,
	.exit_status = "  0    done: some requests were answered (with whatever status)\n"
	               "  1    wrong usage, a file that cannot be read or written, or no request was answered at all\n"
	               "  3    lint: there are findings\n"
	               "  105  ended early by SIGINT or SIGTERM (the results are printed)\n"
	               "  111  the plan cannot be read\n",
	.values = values,
};

static int say(const char *text)
{
	fprintf(stderr, "probe-load: %s\n", text);
	return EXIT_FAILED;
}

/* Is it a command of the contract that is not in the program? */
static bool is_later_command(const char *name)
{
	static const char *const commands[] = { "search", "compare" };

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(name, commands[i]) == 0)
			return true;
	return false;
}

static int say_not_built(const char *what)
{
	fprintf(stderr, "probe-load: %s is not built yet\n", what);
	return EXIT_FAILED;
}

/* The first thing asked for that is in the contract but not in the program, or NULL. */
static const char *not_built(const struct options *o, const struct cli_args *args)
{
	if (args->count && is_later_command(args->items[0]))
		return args->items[0];
	return o->target            ? "--target for a URL"
	       : o->threshold       ? "--threshold"
	       : o->html            ? "--html"
	       : o->spawn           ? "--spawn"
	       : o->ready           ? "--ready"
	       : o->profile         ? "--profile"
	       : o->env.count       ? "-e for a URL"
	       : o->variables.count ? "-J for a URL"
	                            : NULL;
}

/* Where JSON goes; opened before the run, so that an unwritable place is known before an hour is spent. */
struct output {
	const char *path;
	FILE *file;
};

static int open_output(const char *path, struct output *ret_output, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC,
	              0666); /* not truncated: a run that fails leaves the last one's */

	ret_output->path = path;
	ret_output->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!ret_output->file)
		return err_set(err, -EIO, "cannot write '%s': %s", path, strerror(errno));
	return 0;
}

static int open_outputs(const struct options *o, struct output *outputs, size_t *ret_count, struct err *err)
{
	*ret_count = 0;
	for (size_t i = 0; i < o->out.count + (o->summary_export != NULL); i++) {
		const char *text = i < o->out.count ? o->out.items[i] : NULL;
		int rc;

		if (text && strncmp(text, "json=", 5) != 0)
			return err_set(err, -EINVAL,
			               "--out takes json=FILE, not '%s' (other formats are not built yet)", text);
		if (text && !text[5])
			return err_set(err, -EINVAL, "--out json= needs the name of a file");
		if (*ret_count == OUTPUTS_MAX)
			return err_set(err, -EINVAL, "at most %d results files", OUTPUTS_MAX);
		rc = open_output(text ? text + 5 : o->summary_export, &outputs[*ret_count], err);
		if (rc < 0)
			return rc;
		(*ret_count)++;
	}
	return 0;
}

static int write_output(struct output *output, const struct buf *bytes)
{
	bool ok = ftruncate(fileno(output->file), 0) == 0 || errno == EINVAL; /* EINVAL: a pipe or a device */

	ok = fwrite(bytes->data, 1, bytes->len, output->file) == bytes->len && ok;
	ok = fclose(output->file) == 0 && ok;
	output->file = NULL;
	return ok ? 0 : -EIO;
}

static void print_progress(const struct engine *e, struct engine_progress *last)
{
	struct engine_progress now;
	double seconds;

	engine_progress(e, &now);
	seconds = (double)(now.elapsed_ns - last->elapsed_ns) / 1e9;
	fprintf(stderr, "\r%6.1f s  %12llu requests  %10.0f/s  %llu failed  %llu under way\033[K",
	        (double)now.elapsed_ns / 1e9, (unsigned long long)now.attempts,
	        seconds > 0 ? (double)(now.attempts - last->attempts) / seconds : 0, (unsigned long long)now.failures,
	        (unsigned long long)now.in_flight);
	(void)fflush(stderr); /* for the eye only */
	*last = now;
}

/* Until the workers are done; a signal ends the run. */
static void watch(struct engine *e, int signal_fd, bool progress)
{
	struct pollfd fds[] = { { .fd = engine_fd(e), .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
	struct engine_progress last = { 0 };

	for (;;) {
		int n = poll(fds, ARRAY_LEN(fds), progress ? PROGRESS_MS : -1);

		if (n > 0 && fds[0].revents)
			break;
		if (n > 0 && fds[1].revents) {
			engine_stop(e);
			break;
		}
		if (n == 0)
			print_progress(e, &last);
	}
	if (progress)
		fprintf(stderr, "\r\033[K");
}

static int run(const struct plan *plan, const struct options *o, struct result *ret_result, struct err *err)
{
	struct net_addresses addresses;
	struct engine *e;
	sigset_t signals;
	int signal_fd, rc = plan->unix_socket ? net_unix(plan->unix_socket, &addresses, err)
	                                      : net_resolve(plan->url.host, plan->url.port, &addresses, err);

	if (rc == -EINVAL)
		return rc;
	if (rc < 0)
		return result_of_unknown_host(plan, ret_result) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* before the workers start: they inherit it */
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (signal_fd < 0)
		return err_set(err, -errno, "cannot wait for signals: %s", strerror(errno));
	rc = engine_start(plan, &addresses, &e, err);
	if (rc == 0) {
		watch(e, signal_fd, !o->quiet && isatty(STDERR_FILENO));
		rc = engine_finish(e, ret_result, err);
	}
	(void)close(signal_fd);
	return rc;
}

/* One sentence for a run in which nothing came back: the commonest failure and how often. */
static void say_unanswered(const struct result *r, const struct err *lookup)
{
	const struct metrics *m = &r->metrics;
	enum failure worst = 0;

	if (lookup->code) {
		say(lookup->text);
		return;
	}
	for (enum failure i = 1; i < FAILURE_COUNT; i++)
		if (m->failures[i] > m->failures[worst])
			worst = i;
	if (m->attempts == 0)
		fprintf(stderr, "probe-load: the run ended before %s answered anything\n", r->plan->url.authority);
	else if (r->plan->unix_socket)
		fprintf(stderr, "probe-load: no request was answered at %s: %s (%llu of %llu attempts)\n",
		        r->plan->unix_socket, failure_text(worst), (unsigned long long)m->failures[worst],
		        (unsigned long long)m->attempts);
	else
		fprintf(stderr, "probe-load: no request was answered by %s port %u: %s (%llu of %llu attempts)\n",
		        r->plan->url.host, (unsigned)r->plan->url.port, failure_text(worst),
		        (unsigned long long)m->failures[worst], (unsigned long long)m->attempts);
	if (m->tls_problem[0])
		fprintf(stderr, "probe-load: TLS: %s\n", m->tls_problem);
}

/* Nothing came back, and always for the same reason: say_unanswered() leaves nothing for a table to tell. */
static bool one_sentence_says_all(const struct result *r)
{
	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		if (r->metrics.attempts && r->metrics.failures[i] == r->metrics.attempts)
			return true;
	return false;
}

static int report(const struct options *o, const struct result *r, struct output *outputs, size_t count)
{
	CLEANUP(buf_done) struct buf json = { 0 };
	CLEANUP(buf_done) struct buf text = { 0 };
	struct verdict v;
	int code = EXIT_DONE;

	verdict_judge(r, &v);
	out_json(r, &v, &json);
	out_text(r, &v, isatty(STDOUT_FILENO) && strcmp(nl_langinfo(CODESET), "UTF-8") == 0, &text);
	if (json.failed || text.failed)
		return say("out of memory");
	for (size_t i = 0; i < count; i++) {
		if (write_output(&outputs[i], &json) < 0) {
			fprintf(stderr, "probe-load: cannot write '%s': %s\n", outputs[i].path, strerror(errno));
			code = EXIT_FAILED;
		}
	}
	if (o->json || !one_sentence_says_all(r))
		(void)fwrite(o->json ? json.data : text.data, 1, o->json ? json.len : text.len, stdout);
	if (fflush(stdout) != 0 || ferror(stdout))
		return say("cannot write the result to the standard output");
	return code;
}

static int drive(const struct options *o, const struct plan *plan)
{
	struct output outputs[OUTPUTS_MAX];
	struct result result;
	struct err err = { 0 };
	size_t count;
	int code, rc = open_outputs(o, outputs, &count, &err);

	if (rc == 0)
		rc = run(plan, o, &result, &err);
	if (rc < 0)
		return say(err.text);
	code = report(o, &result, outputs, count);
	if (result.metrics.responses == 0) {
		say_unanswered(&result, &err);
		code = EXIT_FAILED;
	}
	if (result.interrupted)
		code = EXIT_INTERRUPTED;
	result_done(&result);
	return code;
}

static uint64_t available_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
}

static int finish_stdout(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_DONE : say("cannot write to the standard output");
}

/* The script of a shell, and what it asks. */
static int completion(int argc, char **argv)
{
	struct err err = { 0 };
	int rc = completion_run(stdout, &program, argc, argv, &err);

	if (rc < 0)
		return say(err.text);
	if (rc == 1)
		cli_print_help(stdout, &program,
		               cli_find_command(words, ARRAY_LEN(words) - 1, "completion", &(const char *){ NULL }));
	return finish_stdout();
}

/* Findings go to stdout; why there are none to stderr. */
static int lint(int argc, char **argv)
{
	struct err err = { 0 };
	int rc = cmd_lint(stdout, argc, argv, &err), code;

	if (rc == CMD_LINT_HELP)
		cli_print_help(stdout, &program,
		               cli_find_command(words, ARRAY_LEN(words) - 1, "lint", &(const char *){ NULL }));
	if (rc < 0)
		return say(err.text);
	if (rc == CMD_LINT_UNREADABLE)
		(void)say(err.text);
	code = finish_stdout();
	return code != EXIT_DONE || rc == CMD_LINT_HELP ? code : rc;
}

static int run_plan(int argc, char **argv)
{
	struct err err = { 0 };
	int rc = cmd_run(stdout, stderr, argc, argv, &err), code;

	if (rc == CMD_RUN_HELP)
		cli_print_help(stdout, &program,
		               cli_find_command(words, ARRAY_LEN(words) - 1, "run", &(const char *){ NULL }));
	code = finish_stdout();
	if (rc < 0 || rc == CMD_RUN_REFUSED)
		(void)say(err.text);
	if (code != EXIT_DONE || rc < 0)
		return EXIT_FAILED;
	return rc == CMD_RUN_HELP ? EXIT_DONE : rc;
}

static int help(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL, *nearest = NULL;
	const struct cli_command *found = &command;

	if (argc > 2) {
		fprintf(stderr, "probe-load: help takes one command, and '%s' is one too many\n", argv[2]);
		return EXIT_FAILED;
	}
	if (name && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0))
		name = argv[0];
	if (name && is_later_command(name))
		return say_not_built(name);
	if (name)
		found = cli_find_command(words, ARRAY_LEN(words) - 1, name, &nearest);
	if (!found) {
		fprintf(stderr, "probe-load: there is no command '%s'; ", name);
		fprintf(stderr, nearest ? "did you mean '%s'?\n" : "'%s' explains the program\n",
		        nearest ? nearest : "probe-load help");
		return EXIT_FAILED;
	}
	cli_print_help(stdout, &program, found);
	return finish_stdout();
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct plan plan;
	struct cli_args args;
	struct err err = { 0 };
	const char *missing;
	int code;

	(void)setlocale(LC_CTYPE, ""); /* only to learn whether the terminal takes UTF-8 */
	o.request.connections = o.request.threads = o.request.requests = PLAN_UNSET;
	o.request.duration_ns = o.request.timeout_ns = o.request.warmup_ns = PLAN_UNSET;
	o.request.seed = o.request.backlog_max = PLAN_UNSET;
	if (argc > 1 && strcmp(argv[1], "completion") == 0)
		return completion(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return run_plan(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "lint") == 0)
		return lint(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	if (cli_parse(options, argc, argv, &o, &args, &err) < 0)
		return say(err.text);
	if (args.help) {
		cli_print_help(stdout, &program, &command);
		return finish_stdout();
	}
	if (o.version) {
		printf("probe-load %s\n", PERFPROBE_VERSION);
		return finish_stdout();
	}
	missing = not_built(&o, &args);
	if (missing)
		return say_not_built(missing);
	if (args.count != 1)
		return say(args.count ? "one URL, please; probe-load --help explains"
		                      : "no URL given; probe-load --help explains");
	o.request.url = args.items[0];
	if (plan_build(&o.request, available_cpus(), &plan, &err) < 0)
		return say(err.text);
	code = drive(&o, &plan);
	plan_done(&plan);
	return code;
}

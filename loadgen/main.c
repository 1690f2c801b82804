/*
 * main.c - command line -> plan -> engine -> outputs.
 *
 * The only file that prints, reads signals and knows exit codes.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "buf.h"
#include "catalog.h"
#include "cli.h"
#include "cmd_lint.h"
#include "cmd_run.h"
#include "completion.h"
#include "engine.h"
#include "machine.h"
#include "monitor.h"
#include "net.h"
#include "out.h"
#include "out_rows.h"
#include "outputs.h"
#include "plan.h"
#include "progress.h"
#include "request_log.h"
#include "tally.h"
#include "totals.h"
#include "units.h"
#include "verdict.h"

/* DESIGN: k6's numbers where k6 has one. Usage is 1 here, as load drivers have it, not 2. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_THRESHOLDS = 99,
	EXIT_BAD_THRESHOLD = 104,
	EXIT_INTERRUPTED = 105,
	EXIT_INVALID = 113
};
enum { PROGRESS_MS = 200, ROWS_MS = 20, LINE_S = 10, URL_TAG_MAX = 1500 };

struct options {
	struct plan_request request;
	struct cli_list out, env, variables, thresholds;
	const char *summary_export, *target, *html, *spawn, *ready;
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
	{ "out", 0, CLI_LIST, "json=FILE|ndjson=FILE|csv=FILE|jtl=FILE|prom=FILE|hgrm=FILE|results=FILE",
	  "write the results to a file, too, may be repeated: results=FILE while it runs", AT(out) },
	{ "summary-export", 0, CLI_STRING, "FILE", "the same as --out json=FILE", AT(summary_export) },
	{ "threshold", 0, CLI_LIST, "EXPR", "'http_req_duration: p(99)<500', may be repeated: exit 99 unless it holds",
	  AT(thresholds) },
	{ "json", 0, CLI_FLAG, NULL, "print JSON instead of text", AT(json) },
	{ "quiet", 'q', CLI_FLAG, NULL, "nothing while it runs", AT(quiet) },
	{ "version", 0, CLI_FLAG, NULL, "print the version", AT(version) },
	{ "target", 0, CLI_STRING, "URL", "of a plan: see 'probe-load help run'", AT(target) },
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
	               "  99   a threshold did not hold\n"
	               "  104  a threshold that cannot be read, or of a metric that does not exist\n"
	               "  105  ended early by SIGINT or SIGTERM (the results are printed)\n"
	               "  111  the plan cannot be read\n"
	               "  113  the numbers are INVALID: the driver made them, not the server\n",
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
	       : o->html            ? "--html"
	       : o->spawn           ? "--spawn"
	       : o->ready           ? "--ready"
	       : o->profile         ? "--profile"
	       : o->env.count       ? "-e for a URL"
	       : o->variables.count ? "-J for a URL"
	                            : NULL;
}

/* A run as this thread sees it. */
struct session {
	const struct plan *plan;
	struct catalog *catalog;
	struct monitor *monitor;
	struct outputs *outputs;
	uint32_t endpoint;
	bool rows;
	enum { SHOW_NOTHING, SHOW_LINES, SHOW_BLOCK } show;
};

/* What is on the terminal. */
struct shown {
	struct engine_progress last;
	unsigned lines;
	uint64_t next_ns;
};

static unsigned terminal_columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : PROGRESS_COLUMNS_DEFAULT;
}

static void show(const struct session *s, const struct engine_progress *now, struct shown *shown)
{
	CLEANUP(buf_done) struct buf out = { 0 };
	const struct schedule *schedule = &s->plan->schedule;
	double seconds = (double)(now->elapsed_ns - shown->last.elapsed_ns) / 1e9;
	const char *no_colour = getenv("NO_COLOR");
	const struct progress p = { .elapsed_ns = now->elapsed_ns,
		                    .duration_ns = schedule->attempts ? 0 : schedule->duration_ns,
		                    .attempts = now->attempts,
		                    .of = schedule->attempts,
		                    .failures = now->failures,
		                    .in_flight = now->in_flight,
		                    .users = s->plan->connections,
		                    .rate = seconds > 0 ? (double)(now->attempts - shown->last.attempts) / seconds : 0,
		                    .all = monitor_all(s->monitor),
		                    .slice = monitor_slice(s->monitor),
		                    .thresholds = monitor_thresholds(s->monitor),
		                    .columns = terminal_columns(),
		                    .colour = !no_colour || !*no_colour };

	if (s->show == SHOW_BLOCK)
		progress_draw(&p, shown->lines, &out, &shown->lines);
	else
		progress_line(&p, &out);
	if (!out.failed)
		(void)fwrite(out.data, 1, out.len, stderr); /* for the eye only */
	(void)fflush(stderr);
	shown->last = *now;
	shown->next_ns = now->elapsed_ns + (s->show == SHOW_BLOCK ? PROGRESS_MS * NS_PER_MS : LINE_S * NS_PER_S);
}

static void show_no_more(const struct shown *shown)
{
	CLEANUP(buf_done) struct buf out = { 0 };

	progress_clear(shown->lines, &out);
	if (out.len)
		(void)fwrite(out.data, 1, out.len, stderr);
	(void)fflush(stderr);
}

/* Single requests, from the workers to their files. */
static void move_rows(const struct session *s, const struct engine *e)
{
	size_t count;

	(void)engine_tallies(e, &count);
	for (size_t i = 0; s->rows && i < count; i++) {
		struct out_rows about = { .start_wall_ns = engine_start_wall_ns(e),
			                  .request_bytes = s->plan->request_bytes,
			                  .vus = s->plan->connections,
			                  .worker = (uint32_t)i };

		outputs_rows(s->outputs, engine_log(e, i), s->catalog, &about);
	}
}

/* How long to wait: for the next second of the monitor, for the next line of progress, for rows. */
static int wait_ms(const struct session *s, uint64_t elapsed_ns, uint64_t look_ns)
{
	uint64_t ms = look_ns > elapsed_ns ? (look_ns - elapsed_ns) / NS_PER_MS + 1 : 0;

	if (s->show == SHOW_BLOCK && ms > PROGRESS_MS)
		ms = PROGRESS_MS;
	return s->rows && ms > ROWS_MS ? ROWS_MS : (int)ms;
}

/* Until the workers are done; a signal ends the run, and so does a threshold with abortOnFail. */
static void watch(const struct session *s, struct engine *e, int signal_fd)
{
	struct pollfd fds[] = { { .fd = engine_fd(e), .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
	struct engine_progress now;
	struct shown shown = { .next_ns = s->show == SHOW_LINES ? LINE_S * NS_PER_S : PROGRESS_MS * NS_PER_MS };
	uint64_t look_ns = NS_PER_S;
	size_t count;
	struct tally *const *tallies = engine_tallies(e, &count);

	for (;;) {
		engine_progress(e, &now);
		move_rows(s, e);
		if (now.elapsed_ns >= look_ns) {
			if (monitor_look(s->monitor, tallies, count, now.elapsed_ns))
				break;
			/* A second that was missed is not made up for: its slice is longer. */
			look_ns = (now.elapsed_ns / NS_PER_S + 1) * NS_PER_S;
		}
		if (poll(fds, ARRAY_LEN(fds), wait_ms(s, now.elapsed_ns, look_ns)) > 0 &&
		    (fds[0].revents || fds[1].revents))
			break;
		if (s->show != SHOW_NOTHING && now.elapsed_ns >= shown.next_ns)
			show(s, &now, &shown);
	}
	if (!fds[0].revents)
		engine_stop(e);
	show_no_more(&shown);
}

/* The trends of a result, over all endpoints. */
static int fill_trends(struct result *r, struct monitor *m)
{
	struct series sum;

	if (series_sum_init(&sum) < 0)
		return -ENOMEM;
	r->series = monitor_all(m);
	r->thresholds = monitor_thresholds(m);
	r->lost = monitor_lost(m);
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		if (series_sum(r->series, metrics_trend_key(i), NULL, 0, &sum))
			histogram_merge(&r->metrics.trends[i], &sum.trend);
	series_sum_done(&sum);
	return 0;
}

/* The name has no address: one attempt, failed. */
static int run_unknown_host(const struct plan *plan, uint32_t endpoint, struct monitor *m, struct result *ret_result,
                            struct err *err)
{
	struct tally tally, *tallies[] = { &tally };
	const struct tally_request r = { .endpoint = endpoint, .outcome = TALLY_FAILURE + FAILURE_DNS };

	if (tally_init(&tally) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	tally_add_request(&tally, &r);
	monitor_finish(m, tallies, 1, 0);
	tally_done(&tally);
	return result_of_unknown_host(plan, ret_result) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* All workers are done: what they have left. */
static int collect(const struct session *s, struct engine *e, struct result *ret_result, struct err *err)
{
	struct engine_progress end;
	size_t count;
	struct tally *const *tallies = engine_tallies(e, &count);
	uint64_t dropped = 0;
	int rc;

	engine_join(e);
	engine_progress(e, &end);
	move_rows(s, e);
	monitor_finish(s->monitor, tallies, count, end.elapsed_ns);
	for (size_t i = 0; s->rows && i < count; i++)
		dropped += load_relaxed(&engine_log(e, i)->dropped); /* relaxed: the thread is joined */
	rc = engine_finish(e, ret_result, err);
	if (rc == 0)
		ret_result->rows_dropped = dropped;
	return rc;
}

static int run_engine(const struct session *s, const struct net_addresses *addresses, struct result *ret_result,
                      struct err *err)
{
	struct engine *e;
	struct machine_cpu before = machine_cpu();
	sigset_t signals;
	int signal_fd, rc;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* before the workers start: they inherit it */
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (signal_fd < 0)
		return err_set(err, -errno, "cannot wait for signals: %s", strerror(errno));
	rc = engine_start(s->plan, addresses, s->endpoint, s->rows, &e, err);
	if (rc == 0) {
		watch(s, e, signal_fd);
		rc = collect(s, e, ret_result, err);
	}
	if (rc == 0)
		machine_judge(addresses, before, ret_result);
	(void)close(signal_fd);
	return rc;
}

static int run(const struct session *s, struct result *ret_result, struct err *err)
{
	struct net_addresses addresses;
	struct err lookup = { 0 };
	int rc = s->plan->unix_socket ? net_unix(s->plan->unix_socket, &addresses, err)
	                              : net_resolve(s->plan->url.host, s->plan->url.port, &addresses, &lookup);

	if (s->plan->unix_socket && rc < 0)
		return rc;
	if (rc < 0)
		rc = run_unknown_host(s->plan, s->endpoint, s->monitor, ret_result, err);
	else
		rc = run_engine(s, &addresses, ret_result, err);
	if (rc < 0)
		return rc;
	if (lookup.code)
		*err = lookup; /* not a failure of the program: for say_unanswered() */
	if (fill_trends(ret_result, s->monitor) == 0)
		return 0;
	result_done(ret_result);
	return err_set(err, -ENOMEM, "out of memory");
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

static int report(const struct options *o, const struct result *r, const struct verdict *v, struct outputs *outputs)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	struct err err = { 0 };
	int code = EXIT_DONE;

	if (o->json)
		out_json(r, v, &text);
	else
		out_text(r, v, isatty(STDOUT_FILENO) && strcmp(nl_langinfo(CODESET), "UTF-8") == 0, &text);
	if (text.failed)
		return say("out of memory");
	if (outputs_write(outputs, r, v, &err) < 0)
		code = say(err.text);
	if (o->json || !one_sentence_says_all(r))
		(void)fwrite(text.data, 1, text.len, stdout);
	if (fflush(stdout) != 0 || ferror(stdout))
		return say("cannot write the result to the standard output");
	return code;
}

/* What the results file says of the run, before and after it. */
static void facts_before(struct monitor *m, const struct plan *plan)
{
	char text[64];

	monitor_fact(m, "tool", "probe-load " PERFPROBE_VERSION);
	monitor_fact(m, "model", "closed");
	monitor_fact(m, "target", plan->url.authority);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)plan->connections);
	monitor_fact(m, "connections", text);
}

static int facts_after(struct monitor *m, const struct result *r, const struct verdict *v, struct err *err)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)r->start_wall_ns);
	monitor_fact(m, "start_ns", text);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)r->window_ns);
	monitor_fact(m, "window_ns", text);
	monitor_fact(m, "verdict", verdict_name(v->kind));
	for (size_t i = 0; i < v->count; i++)
		monitor_fact(m, "verdict_reason", v->reasons[i]);
	return monitor_close(m, err);
}

/* The run and what is said of it; its exit code. */
static int drive_session(const struct options *o, const struct session *s)
{
	struct monitor *m = s->monitor;
	struct result result;
	struct verdict v;
	struct err err = { 0 }, file = { 0 };
	bool failed;
	int code;

	facts_before(m, s->plan);
	if (run(s, &result, &err) < 0)
		return say(err.text);
	failed = monitor_judge(m, result.window_ns);
	verdict_judge(&result, &v);
	code = report(o, &result, &v, s->outputs);
	if (facts_after(m, &result, &v, &file) < 0)
		code = say(file.text);
	if (v.kind == VERDICT_INVALID && code == EXIT_DONE)
		code = EXIT_INVALID;
	if (result.metrics.responses == 0) {
		say_unanswered(&result, &err);
		code = EXIT_FAILED;
	}
	if (result.interrupted)
		code = EXIT_INTERRUPTED;
	if (failed)
		code = EXIT_THRESHOLDS;
	result_done(&result);
	return code;
}

/* The tags of all requests of a command line. */
static int endpoint_of(struct catalog *catalog, const struct plan *plan, uint32_t *ret_endpoint)
{
	CLEANUP(buf_done) struct buf url = { 0 };

	buf_printf(&url, "http://%s%s", plan->url.authority, plan->url.target);
	if (url.failed)
		return -ENOMEM;
	if (url.len > URL_TAG_MAX)
		url.data[URL_TAG_MAX] = '\0';
	*ret_endpoint = catalog_endpoint(catalog,
	                                 (struct series_tag[]){ { "name", url.data },
	                                                        { "url", url.data },
	                                                        { "method", plan->method },
	                                                        { "proto", "HTTP/1.1" },
	                                                        { "scenario", "default" },
	                                                        { "group", "" } },
	                                 6);
	return 0;
}

static int set_up(const struct options *o, struct session *s, int *ret_code, struct err *err)
{
	int rc;

	*ret_code = EXIT_FAILED;
	s->catalog = catalog_new();
	if (!s->catalog || endpoint_of(s->catalog, s->plan, &s->endpoint) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	rc = outputs_open(&o->out, o->summary_export, s->outputs, err);
	if (rc == 0)
		rc = monitor_new(s->catalog,
		                 &(struct monitor_options){ .each_is_iteration = true,
		                                            .results = s->outputs->results,
		                                            .vus = s->plan->connections },
		                 &s->monitor, err);
	for (size_t i = 0; rc == 0 && i < o->thresholds.count; i++) {
		rc = monitor_add_threshold(s->monitor, o->thresholds.items[i], err);
		if (rc == -EINVAL || rc == -ENOENT)
			*ret_code = EXIT_BAD_THRESHOLD;
	}
	s->rows = outputs_want_rows(s->outputs);
	s->show = o->quiet ? SHOW_NOTHING : isatty(STDERR_FILENO) ? SHOW_BLOCK : SHOW_LINES;
	return rc;
}

static int drive(const struct options *o, const struct plan *plan)
{
	struct outputs outputs = { .count = 0 };
	struct session s = { .plan = plan, .outputs = &outputs };
	struct err err = { 0 };
	int code;

	if (set_up(o, &s, &code, &err) < 0)
		(void)say(err.text);
	else
		code = drive_session(o, &s);
	outputs_done(&outputs);
	monitor_free(s.monitor);
	catalog_free(s.catalog);
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

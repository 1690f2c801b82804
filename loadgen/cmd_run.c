#include "cmd_run.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "drive.h"
#include "json_write.h"
#include "load.h"
#include "units.h"

enum { THREADS_MAX = 256 };
#define UNSET UINT64_MAX

struct options {
	struct cli_list env, properties;
	const char *target;
	double time_scale;
	uint64_t seed, timeout_ns, threads;
	struct tls_options tls;
	bool json, quiet;
};

#define AT(field) offsetof(struct options, field)
const struct cli_option cmd_run_options[] = {
	{ "target", 0, CLI_STRING, "URL", "overrides a plan's target", AT(target) },
	{ "time-scale", 0, CLI_DOUBLE, "F", "multiply every duration and pause of the plan by F", AT(time_scale) },
	{ "seed", 0, CLI_U64, "N", "of random choices; the same N, the same choices (default 1)", AT(seed) },
	{ "timeout", 0, CLI_DURATION, "D", "of one request, where the plan says nothing (default 60s)",
	  AT(timeout_ns) },
	{ "threads", 't', CLI_U64, "N", "threads (default: half of the CPUs)", AT(threads) },
	{ "env", 'e', CLI_LIST, "NAME=VALUE", "a variable of the environment, for the plan", AT(env) },
	{ "jmeter-property", 'J', CLI_LIST, "NAME=VALUE", "a property, for JMeter plans", AT(properties) },
	{ "insecure", 'k', CLI_FLAG, NULL, "https: take any certificate", AT(tls.insecure) },
	{ "cacert", 0, CLI_STRING, "FILE", "https: certificates to trust, instead of the system's", AT(tls.ca_file) },
	{ "cert", 0, CLI_STRING, "FILE", "https: the client's certificate, PEM", AT(tls.cert_file) },
	{ "key", 0, CLI_STRING, "FILE", "https: its key, if that is not in the same file", AT(tls.key_file) },
	{ "json", 0, CLI_FLAG, NULL, "print JSON instead of text", AT(json) },
	{ "quiet", 'q', CLI_FLAG, NULL, "no warnings about the plan", AT(quiet) },
	CLI_END,
};
#undef AT

/* ---- results ---- */

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void endpoint_json(struct json *j, const struct drive_endpoint *e)
{
	static const struct {
		const char *key;
		double q;
	} quantiles[] = {
		{ "p50_ms", 0.5 }, { "p90_ms", 0.9 }, { "p95_ms", 0.95 }, { "p99_ms", 0.99 }, { "max_ms", 1 }
	};

	json_object_begin(j);
	json_key_string(j, "name", e->name);
	json_key_u64(j, "requests", e->requests);
	json_key_u64(j, "answered", e->answered);
	json_key_u64(j, "errors", e->errors);
	json_key_u64(j, "failed", e->failed);
	json_key_u64(j, "bytes_in", e->bytes_in);
	json_key_u64(j, "bytes_out", e->bytes_out);
	json_key_double(j, "avg_ms", histogram_mean(&e->service) / 1e6);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		json_key_double(j, quantiles[i].key, ms(histogram_quantile(&e->service, quantiles[i].q)));
	json_object_end(j);
}

static void counts_json(struct json *j, const struct drive_result *r)
{
	char key[8];

	json_key(j, "status");
	json_object_begin(j);
	for (unsigned i = 0; i < ARRAY_LEN(r->statuses); i++) {
		if (!r->statuses[i])
			continue;
		(void)snprintf(key, sizeof(key), "%u", i);
		json_key_u64(j, key, r->statuses[i]);
	}
	json_object_end(j);
	json_key(j, "errors");
	json_object_begin(j);
	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		json_key_u64(j, failure_key(i), r->failures[i]);
	json_object_end(j);
}

static void result_json(struct buf *out, const struct testplan *plan, const struct drive_result *r)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "plan", plan->path);
	json_key_string(&j, "kind", plan->source);
	json_key_double(&j, "elapsed_s", (double)r->elapsed_ns / 1e9);
	json_key_u64(&j, "requests", r->requests);
	json_key_u64(&j, "iterations", r->iterations);
	json_key_u64(&j, "iterations_failed", r->iterations_failed);
	json_key_u64(&j, "dropped", r->dropped);
	json_key_u64(&j, "cut_off", r->cut_off);
	json_key_u64(&j, "interrupted", r->interrupted);
	json_key_u64(&j, "unknown_servers", r->unknown_origins);
	counts_json(&j, r);
	json_key(&j, "endpoints");
	json_array_begin(&j);
	for (size_t i = 0; i < r->endpoint_count; i++)
		endpoint_json(&j, &r->endpoints[i]);
	json_array_end(&j);
	json_key(&j, "checks");
	json_array_begin(&j);
	for (size_t i = 0; i < r->check_count; i++) {
		json_object_begin(&j);
		json_key_string(&j, "name", r->checks[i].name);
		json_key_u64(&j, "passes", r->checks[i].held);
		json_key_u64(&j, "fails", r->checks[i].failed);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

static void result_text(struct buf *out, const struct testplan *plan, const struct drive_result *r)
{
	double seconds = (double)r->elapsed_ns / 1e9;
	char a[24], b[24], c[24];

	buf_printf(out, "%s plan: %llu requests in %llu iterations, %.1f s\n\n", plan->source,
	           (unsigned long long)r->requests, (unsigned long long)r->iterations, seconds);
	buf_printf(out, "%10s %8s %8s %10s %10s %10s  request\n", "requests", "errors", "failed", "p50", "p95", "max");
	for (size_t i = 0; i < r->endpoint_count; i++) {
		const struct drive_endpoint *e = &r->endpoints[i];

		buf_printf(out, "%10llu %8llu %8llu %10s %10s %10s  %s\n", (unsigned long long)e->requests,
		           (unsigned long long)e->errors, (unsigned long long)e->failed,
		           units_print_duration(a, sizeof(a), histogram_quantile(&e->service, 0.5)),
		           units_print_duration(b, sizeof(b), histogram_quantile(&e->service, 0.95)),
		           units_print_duration(c, sizeof(c), e->service.max), e->name);
	}
	for (unsigned i = 0; i < ARRAY_LEN(r->statuses); i++)
		if (r->statuses[i])
			buf_printf(out, "%s%u: %llu", i && out->data[out->len - 1] != '\n' ? "  " : "\nstatus  ", i,
			           (unsigned long long)r->statuses[i]);
	buf_add_char(out, '\n');
	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		if (r->failures[i])
			buf_printf(out, "%10llu  %s\n", (unsigned long long)r->failures[i], failure_text(i));
	for (size_t i = 0; i < r->check_count; i++)
		buf_printf(out, "check   %llu of %llu  %s\n", (unsigned long long)r->checks[i].held,
		           (unsigned long long)(r->checks[i].held + r->checks[i].failed), r->checks[i].name);
	if (r->iterations_failed || r->dropped || r->cut_off)
		buf_printf(out, "iterations broken off: %llu, dropped: %llu, cut off at the end: %llu\n",
		           (unsigned long long)r->iterations_failed, (unsigned long long)r->dropped,
		           (unsigned long long)r->cut_off);
	if (r->unknown_origins)
		buf_printf(out, "requests to servers that the plan does not name, not made: %llu\n",
		           (unsigned long long)r->unknown_origins);
	if (r->aborted)
		buf_printf(out, "ended early: %s\n", r->aborted);
}

/* A hostile plan's names do not reach the terminal as they are. */
static void write_text(FILE *out, struct buf *text)
{
	for (size_t i = 0; i < text->len; i++)
		if (((unsigned char)text->data[i] < ' ' && text->data[i] != '\n') || text->data[i] == 0x7f)
			text->data[i] = '?';
	(void)fwrite(text->data ? text->data : "", 1, text->len, out); /* main() looks for errors of the stream */
}

static int report(FILE *out, const struct testplan *plan, const struct drive_result *r, bool json)
{
	CLEANUP(buf_done) struct buf text = { 0 };

	if (json)
		result_json(&text, plan, r);
	else
		result_text(&text, plan, r);
	if (text.failed)
		return -ENOMEM;
	write_text(out, &text);
	return r->stopped ? CMD_RUN_INTERRUPTED : CMD_RUN_DONE;
}

/* ---- running ---- */

static void warn(FILE *out, const struct testplan *plan)
{
	CLEANUP(buf_done) struct buf text = { 0 };

	for (size_t i = 0; i < plan->note_count; i++)
		buf_printf(&text, "%s:%u: %s\n", plan->path, plan->notes[i].line, plan->notes[i].text);
	if (plan->threshold_count)
		buf_printf(&text, "%s:%u: thresholds are not evaluated yet\n", plan->path, plan->thresholds[0].line);
	if (!text.failed)
		write_text(out, &text);
}

static uint64_t default_threads(void)
{
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return cpus > 1 ? (uint64_t)cpus / 2 : 1;
}

static int run(FILE *out, const struct testplan *plan, const struct options *o, struct err *err)
{
	struct drive_options drive = { o->threads, o->seed, o->timeout_ns, o->time_scale, -1, o->tls };
	struct drive_result result;
	sigset_t signals;
	int rc;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* before threads start: they inherit it */
	drive.stop_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (drive.stop_fd < 0)
		return err_set(err, -errno, "cannot wait for signals: %s", strerror(errno));
	rc = drive_run(plan, &drive, &result, err);
	(void)close(drive.stop_fd);
	if (rc < 0)
		return rc;
	rc = report(out, plan, &result, o->json);
	if (rc == CMD_RUN_DONE && result.requests && result.requests == result.failures[FAILURE_REFUSED])
		rc = err_set(err, -ECONNREFUSED, "no request was answered: %s", failure_text(FAILURE_REFUSED));
	drive_done(&result);
	return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}

static int check_options(struct options *o, const struct cli_args *args, struct err *err)
{
	if (args->count != 1)
		return err_set(err, -EINVAL,
		               args->count ? "one plan, please; probe-load help run explains"
		                           : "no plan given; probe-load help run explains");
	if (!(o->time_scale > 0 && o->time_scale <= 1e6))
		return err_set(err, -EINVAL, "--time-scale is a number above 0, up to 1000000");
	if (o->threads == UNSET)
		o->threads = default_threads();
	if (o->threads == 0 || o->threads > THREADS_MAX)
		return err_set(err, -EINVAL, "--threads is a number from 1 to %d", THREADS_MAX);
	return 0;
}

int cmd_run(FILE *out, FILE *warnings, int argc, char **argv, struct err *err)
{
	struct options o = { .time_scale = 1, .seed = 1, .timeout_ns = 60 * NS_PER_S, .threads = UNSET };
	struct load_options load = { 0 };
	struct testplan *plan;
	struct cli_args args;
	int rc = cli_parse(cmd_run_options, argc, argv, &o, &args, err);

	if (rc == 0 && args.help)
		return CMD_RUN_HELP;
	if (rc == 0)
		rc = check_options(&o, &args, err);
	if (rc < 0)
		return rc;
	load.values = (struct dialect_values){ o.properties.items, o.properties.count, o.env.items, o.env.count };
	load.target = o.target;
	if (load_plan(args.items[0], &load, &plan, err) < 0)
		return CMD_RUN_REFUSED;
	testplan_check(plan);
	if (!o.quiet)
		warn(warnings, plan);
	rc = run(out, plan, &o, err);
	testplan_free(plan);
	return rc;
}

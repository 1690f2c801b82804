/* cmd_push.c - a snapshot to a server of continuous profiling, as pprof: one POST for time, one for the heap. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cmd.h"
#include "export.h"
#include "http_post.h"
#include "model.h"
#include "push.h"
#include "units.h"
#include "view.h"

#define TOKEN_VARIABLE "PROBE_PUSH_TOKEN"

struct options {
	const char *to, *name, *metric, *token_file, *tenant, *ca;
	struct cli_list labels;
	uint64_t timeout_ns, wait_ns, retries;
	bool json;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "to", 0, CLI_CHOICE, PUSH_FORM_VALUE, "what the server is (default: pyroscope, its /ingest)",
	  offsetof(struct options, to) },
	{ "name", 0, CLI_STRING, "NAME", "the service's name there (default: the program's)",
	  offsetof(struct options, name) },
	{ "label", 'l', CLI_LIST, "LABEL=VALUE", "a label; may be given several times",
	  offsetof(struct options, labels) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE,
	  "only this (default: time and the heap, whichever were recorded)", offsetof(struct options, metric) },
	{ "token-file", 0, CLI_STRING, "FILE",
	  "a bearer token (default: the variable " TOKEN_VARIABLE ", if it is set)",
	  offsetof(struct options, token_file) },
	{ "tenant", 0, CLI_STRING, "ID", "X-Scope-OrgID, of servers with several tenants",
	  offsetof(struct options, tenant) },
	{ "ca", 0, CLI_STRING, "FILE", "certificates to trust instead of the system's", offsetof(struct options, ca) },
	{ "timeout", 0, CLI_DURATION, "DURATION", "of one try (default: 30s)", offsetof(struct options, timeout_ns) },
	{ "retries", 0, CLI_U64, "N", "further tries after no connection, 429 or 5xx (default: 4)",
	  offsetof(struct options, retries) },
	{ "retry-wait", 0, CLI_DURATION, "DURATION", "before the first of them, then doubled (default: 500ms)",
	  offsetof(struct options, wait_ns) },
	{ "json", 0, CLI_FLAG, NULL, "what was sent, as JSON", offsetof(struct options, json) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

enum { HEADER_BYTES = 8192 };

struct work {
	struct options o;
	struct push push;
	bool plain; /* anybody on the way can read along */
	struct cmd_input in;
	char token[HEADER_BYTES], authorization[HEADER_BYTES + 32], tenant[HEADER_BYTES], type[128];
	char service[256];
	struct buf sent; /* JSON objects, or lines */
	size_t count;
};

/* ---- what must not leak ---- */

static int read_token(struct work *w, struct err *err)
{
	const char *variable = getenv(TOKEN_VARIABLE);
	ssize_t n;
	int fd, rc;

	if (!w->o.token_file) {
		if (variable && strlen(variable) >= sizeof(w->token))
			return err_set(err, -EINVAL, "%s is longer than %d bytes", TOKEN_VARIABLE, HEADER_BYTES - 1);
		if (variable)
			memcpy(w->token, variable, strlen(variable) + 1);
		return 0;
	}
	fd = open(w->o.token_file, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, w->token, sizeof(w->token) - 1);
	rc = n < 0 ? -errno : 0;
	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		return err_set(err, rc == -EINVAL ? -EIO : rc, "%s: cannot read: %s", w->o.token_file, strerror(-rc));
	while (n > 0 && isspace((unsigned char)w->token[n - 1]))
		w->token[--n] = '\0';
	if (n == 0 || n == sizeof(w->token) - 1)
		return err_set(err, -EPROTO, "%s: a token is between 1 and %d bytes long", w->o.token_file,
		               HEADER_BYTES - 2);
	return 0;
}

static bool is_clean(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static int make_headers(struct work *w, struct err *err)
{
	int rc = read_token(w, err);

	if (rc < 0)
		return rc;
	if (!is_clean(w->token) || (w->o.tenant && !is_clean(w->o.tenant)))
		return err_set(err, -EINVAL, "there is a control character in the token or the tenant");
	if (w->token[0] && w->plain)
		return err_set(err, -EINVAL,
		               "a token is not sent without TLS, where anybody on the way can read it: use https");
	if (w->token[0])
		(void)snprintf(w->authorization, sizeof(w->authorization), "Authorization: Bearer %s", w->token);
	if (w->o.tenant && snprintf(w->tenant, sizeof(w->tenant), "X-Scope-OrgID: %s", w->o.tenant) >= HEADER_BYTES)
		return err_set(err, -EINVAL, "the tenant is longer than %d bytes", HEADER_BYTES);
	(void)snprintf(w->type, sizeof(w->type), "Content-Type: %s", push_content_type(w->push.form));
	return 0;
}

/* Servers take few characters in a name; a program's name may have any. */
static int choose_name(struct work *w, struct err *err)
{
	const char *name = w->o.name ? w->o.name : w->in.model->comm;
	size_t n = 0;

	if (w->o.name &&
	    (!w->o.name[0] ||
	     w->o.name[strspn(w->o.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/")]))
		return err_set(err, -EINVAL, "--name takes letters, digits and _ . - /, not '%s'", w->o.name);
	for (; *name && n < sizeof(w->service) - 1; name++)
		w->service[n++] = isalnum((unsigned char)*name) || strchr("_.-/", *name) ? *name : '_';
	if (n == 0)
		w->service[n++] = '_';
	w->push.service = w->service;
	return 0;
}

/* ---- one profile ---- */

static const char *kind_of(enum profile_metric metric)
{
	switch (metric) {
	case METRIC_CPU:
		return "process_cpu";
	case METRIC_WALL:
		return "wall";
	case METRIC_OFF_CPU:
		return "off_cpu";
	default:
		return "memory";
	}
}

static void note_sent(struct work *w, const struct http_answer *a, const char *url)
{
	const struct view v = { &w->sent, false };
	const char *shown = profile_metric_name(w->in.profile->metric);

	w->count++;
	if (w->o.json) {
		struct json j;

		buf_add_str(&w->sent, w->count > 1 ? "," : "");
		json_init(&j, &w->sent);
		json_object_begin(&j);
		json_key_string(&j, "metric", shown);
		json_key_string(&j, "kind", w->push.kind);
		json_key_string(&j, "url", url);
		json_key_u64(&j, "bytes", w->push.pprof_bytes);
		json_key_u64(&j, "status", (uint64_t)a->status);
		json_key_u64(&j, "tries", a->tries);
		json_object_end(&j);
		return;
	}
	buf_printf(&w->sent, "sent %s, %zu bytes of pprof, as ", shown, w->push.pprof_bytes);
	view_text(&v, VIEW_PLAIN, w->service);
	buf_printf(&w->sent, " (%u %s)\n", a->tries, a->tries == 1 ? "try" : "tries");
}

static int post(struct work *w, struct err *err)
{
	struct buf url = { 0 }, body = { 0 };
	struct http_answer answer = { 0 };
	struct http_post p = { .ca_file = w->o.ca,
		               .timeout_ns = w->o.timeout_ns,
		               .wait_ns = w->o.wait_ns,
		               .retries = (unsigned)w->o.retries,
		               .grpc = w->push.form == PUSH_PARCA };
	size_t n = 0;
	int rc = push_build(&w->push, &url, &body, err);

	if (rc == 0) {
		p.headers[n++] = w->type;
		if (w->authorization[0])
			p.headers[n++] = w->authorization;
		if (w->tenant[0])
			p.headers[n++] = w->tenant;
		if (p.grpc)
			p.headers[n++] = "X-Grpc-Web: 1";
		p.url = url.data;
		p.body = body.data;
		p.body_bytes = body.len;
		rc = http_post_send(&p, &answer, err);
	}
	if (rc == 0)
		note_sent(w, &answer, url.data);
	http_answer_done(&answer);
	buf_done(&url);
	buf_done(&body);
	return rc;
}

static int send_metric(struct work *w, enum profile_metric metric, struct err *err)
{
	struct export_options eo = { .tid = EXPORT_ALL_THREADS, .model = w->in.model };
	const struct model *m = w->in.model;
	struct buf pprof = { 0 };
	int rc = profile_build(m, w->in.symbols, metric, &w->in.profile, err);

	if (rc == 0 && export_is_of_memory(w->in.profile))
		rc = cmd_export_memory(&w->in, eo.memory, err);
	if (rc == 0)
		rc = export_pprof(w->in.profile, &eo, &pprof, err);
	if (rc == 0 && pprof.failed)
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc == 0 && getrandom(w->push.id, sizeof(w->push.id), 0) != sizeof(w->push.id))
		rc = err_set(err, -EIO, "the system has no random numbers");
	if (rc == 0) {
		w->push.kind = kind_of(metric);
		w->push.start_wall_ns = m->start_wall_ns;
		w->push.end_wall_ns = m->end_wall_ns;
		w->push.period_ns = w->in.profile->period_ns;
		w->push.column_count = export_pprof_columns(w->in.profile, &eo, w->push.columns);
		w->push.pprof = pprof.data;
		w->push.pprof_bytes = pprof.len;
		rc = post(w, err);
	}
	for (size_t i = 0; i < EXPORT_MEMORY_COUNT; i++)
		profile_free((struct profile *)eo.memory[i]);
	profile_free(w->in.profile);
	w->in.profile = NULL;
	buf_done(&pprof);
	return rc;
}

/* What was recorded, at least one of time and the heap. */
static int send_all(struct work *w, struct err *err)
{
	const struct model *m = w->in.model;
	enum profile_metric metric;
	int rc = 0;

	if (w->o.metric) {
		rc = profile_metric_parse(w->o.metric, &metric, err);
		return rc < 0 ? rc : send_metric(w, metric, err);
	}
	if (m->cpu_count)
		rc = send_metric(w, m->clock_is_wall ? METRIC_WALL : METRIC_CPU, err);
	if (rc == 0 && m->heap_count)
		rc = send_metric(w, METRIC_LIVE, err);
	if (rc == 0 && !w->count)
		rc = err_set(err, -ENODATA,
		             "there is nothing to send: no CPU samples and no allocations were recorded");
	return rc;
}

static int prepare(struct work *w, const struct cli_args *args, struct err *err)
{
	int rc = push_check_server(args->items[0], &w->plain, err);

	if (rc == 0)
		rc = push_form_parse(w->o.to ? w->o.to : "pyroscope", &w->push.form, err);
	for (size_t i = 0; i < w->o.labels.count && rc == 0; i++)
		rc = push_add_label(&w->push, (char *)w->o.labels.items[i], err); /* argv is ours to write */
	if (rc == 0 && (w->o.retries > 100 || w->o.timeout_ns < NS_PER_MS))
		rc = err_set(err, -EINVAL, "--retries is at most 100, and --timeout at least a millisecond");
	if (rc == 0)
		rc = make_headers(w, err);
	w->push.server = args->items[0];
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct work *w = calloc(1, sizeof(*w));
	struct cli_args args;
	struct buf out = { 0 };
	int rc;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->o = (struct options){ .timeout_ns = 30 * NS_PER_S, .wait_ns = 500 * NS_PER_MS, .retries = 4 };
	rc = cmd_parse(&cmd_push, argc, argv, &w->o, &args, 2, 2, err);
	if (rc == 0)
		rc = prepare(w, &args, err);
	w->in.how = &w->o.symbols;
	if (rc == 0)
		rc = cmd_load(args.items[1], &w->in, err);
	if (rc == 0)
		rc = choose_name(w, err);
	if (rc == 0) {
		rc = send_all(w, err);
		if (w->o.json)
			buf_printf(&out, "{\"sent\":[%s]}\n", w->sent.data ? w->sent.data : "");
		else
			buf_add(&out, w->sent.data ? w->sent.data : "", w->sent.len);
		if (w->count) { /* what was sent is told, also where the next one failed */
			int told = cmd_output(NULL, &out, rc < 0 ? NULL : err);

			rc = rc < 0 ? rc : told;
		}
	}
	cmd_input_done(&w->in);
	buf_done(&w->sent);
	buf_done(&out);
	free(w);
	return rc < 0 ? rc : 0;
}

const struct cli_command cmd_push = {
	"push",
	run,
	option_table,
	"URL A",
	"send as pprof to a continuous-profiling server: Pyroscope, Parca",
	"  probe-analyze push http://localhost:4040 server.snap --label zone=a\n"
	"  probe-analyze push --to parca http://localhost:7070 server.snap --name shop\n"
	"  PROBE_PUSH_TOKEN=... probe-analyze push --to pyroscope-push https://profiles.example.org server.4711.live\n",
};

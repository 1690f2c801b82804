#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "cmd.h"
#include "database.h"
#include "fold.h"
#include "json_write.h"
#include "model.h"
#include "requests.h"
#include "units.h"
#include "view.h"
#include "view_database.h"

struct options {
	const char *output;
	bool json, full_frames;
	uint64_t top;
	struct cmd_symbols symbols;
};

enum { DEFAULT_SLOWEST = 20, TEXT_FRAMES = 12, TEXT_STACKS = 3 };

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "json", 0, CLI_FLAG, NULL, "as JSON", offsetof(struct options, json) },
	{ "top", 'n', CLI_U64, "N", "the slowest N requests (default: 20)", offsetof(struct options, top) },
	{ "full-frames", 0, CLI_FLAG, NULL, "source lines and modules; whole stacks in text",
	  offsetof(struct options, full_frames) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

struct work {
	struct options o;
	struct cmd_input in;
	struct profile *off_cpu; /* NULL: no such samples */
	struct requests found;
	struct database_rows database;
	struct database_request *calls; /* of each of the slowest */
};

static const struct profile *profile_of(const struct work *w, const struct requests_stack *s)
{
	return s->off_cpu ? w->off_cpu : w->in.profile;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void json_slow(struct json *j, const struct work *w, size_t i_slow)
{
	const struct requests_slow *s = &w->found.slowest[i_slow];
	const struct model_request *r = s->request;

	json_object_begin(j);
	json_key_u64(j, "id", r->id);
	json_key_string(j, "method", r->method);
	json_key_string(j, "path", r->path);
	json_key_u64(j, "status", r->status);
	json_key_u64(j, "start_ns", r->start_ns);
	json_key_double(j, "duration_ms", ms(s->duration_ns));
	json_key(j, "ttfb_ms");
	if (r->first_ns)
		json_double(j, ms(r->first_ns - r->start_ns));
	else
		json_null(j);
	json_key_bool(j, "answered", r->end_ns != 0);
	json_key_u64(j, "bytes_in", r->bytes_in);
	json_key_u64(j, "bytes_out", r->bytes_out);
	json_key_u64(j, "tid", w->in.model->threads[r->thread_start].tid);
	json_key_u64(j, "samples", s->samples + s->off_cpu);
	json_key_u64(j, "cpu_samples", s->samples);
	json_key_u64(j, "off_cpu_samples", s->off_cpu);
	json_key_u64(j, "ambiguous_samples", s->shared);
	json_key(j, "database");
	view_database_request_json(j, w->in.model, &w->calls[i_slow]);
	json_key(j, "stacks");
	json_array_begin(j);
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct profile *p = profile_of(w, &s->stacks[i]);
		const struct profile_stack *stack = &p->stacks[s->stacks[i].stack];

		json_object_begin(j);
		json_key_u64(j, "value", s->stacks[i].samples);
		json_key_bool(j, "off_cpu", s->stacks[i].off_cpu);
		json_key(j, "frames");
		view_json_frames(j, p->frames, stack->frames, stack->depth, w->o.full_frames);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

static void requests_json(const struct work *w, struct buf *out)
{
	const struct model_requests *q = &w->in.model->requests;
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_bool(&j, "recorded", q->recorded);
	json_key_u64(&j, "count", q->count);
	json_key_u64(&j, "slow", q->slow);
	json_key_u64(&j, "unanswered", q->unanswered);
	json_key_u64(&j, "latency_ns", q->latency_ns);
	json_key(&j, "attribution");
	json_object_begin(&j);
	json_key_u64(&j, "samples", w->found.samples);
	json_key_u64(&j, "attributed", w->found.attributed);
	json_key_u64(&j, "exact", w->found.attributed - w->found.ambiguous);
	json_key_u64(&j, "ambiguous", w->found.ambiguous);
	json_key_u64(&j, "none", w->found.samples - w->found.attributed);
	json_object_end(&j);
	json_key(&j, "routes");
	json_array_begin(&j);
	for (size_t i = 0; i < w->found.route_count; i++) {
		const struct requests_route *r = &w->found.routes[i];

		json_object_begin(&j);
		json_key_string(&j, "method", r->route->method);
		json_key_string(&j, "route", r->route->route);
		json_key_u64(&j, "status", r->route->status);
		json_key_u64(&j, "count", r->route->count);
		json_key_double(&j, "p50_ms", ms(r->p50_ns));
		json_key_double(&j, "p99_ms", ms(r->p99_ns));
		json_key_double(&j, "max_ms", ms(r->route->max_ns));
		json_key_double(&j, "mean_ms", ms(r->route->sum_ns) / (double)r->route->count);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_key(&j, "database");
	view_database_rows_json(&j, &w->database);
	json_key(&j, "slowest");
	json_array_begin(&j);
	for (size_t i = 0; i < w->found.slow_count; i++)
		json_slow(&j, w, i);
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void text_slow(const struct view *v, const struct work *w, size_t i_slow)
{
	const struct requests_slow *s = &w->found.slowest[i_slow];
	const struct model_request *r = s->request;
	char a[32], b[32];

	buf_printf(v->out, "\n%10s  ", units_print_duration(a, sizeof(a), s->duration_ns));
	view_text(v, VIEW_BOLD, r->method);
	buf_add_char(v->out, ' ');
	view_text(v, VIEW_BOLD, r->path);
	if (r->end_ns && r->status)
		buf_printf(v->out, " %" PRIu32, r->status);
	else if (!r->end_ns)
		buf_add_str(v->out, " (not answered yet)");
	if (r->first_ns)
		buf_printf(v->out, ", first byte after %s",
		           units_print_duration(b, sizeof(b), r->first_ns - r->start_ns));
	buf_printf(v->out, ", %" PRIu64 " CPU samples", s->samples);
	if (s->off_cpu)
		buf_printf(v->out, ", %" PRIu64 " while it waited", s->off_cpu);
	if (s->shared)
		buf_printf(v->out, " (%" PRIu64 " perhaps of other requests)", s->shared);
	buf_add_char(v->out, '\n');
	view_database_request(v, w->in.model, &w->calls[i_slow], s->duration_ns, w->o.full_frames);
	for (size_t i = 0; i < s->stack_count && (i < TEXT_STACKS || w->o.full_frames); i++) {
		const struct profile *p = profile_of(w, &s->stacks[i]);
		const struct profile_stack *stack = &p->stacks[s->stacks[i].stack];

		buf_printf(v->out, "%14" PRIu64 " samples%s:\n", s->stacks[i].samples,
		           s->stacks[i].off_cpu ? ", waiting" : "");
		view_stack(v, p->frames, stack->frames, stack->depth, 16, w->o.full_frames ? 0 : TEXT_FRAMES);
	}
	if (s->stack_count > TEXT_STACKS && !w->o.full_frames)
		buf_printf(v->out, "%14s ... and %zu more stacks\n", "", s->stack_count - TEXT_STACKS);
}

static void text_attribution(const struct view *v, const struct requests *r)
{
	const struct {
		const char *what;
		uint64_t samples;
	} part[] = { { "of one request for certain", r->attributed - r->ambiguous },
		     { "perhaps of another", r->ambiguous },
		     { "of none", r->samples - r->attributed } };

	buf_printf(v->out, "CPU samples of the window: %" PRIu64, r->samples);
	for (unsigned i = 0; i < ARRAY_LEN(part); i++)
		buf_printf(v->out, "%s %s %" PRIu64 " (%.1f %%)", i ? "," : ":", part[i].what, part[i].samples,
		           100 * (double)part[i].samples / (double)r->samples);
	buf_add_char(v->out, '\n');
}

static void text_routes(const struct work *w, const struct view *v)
{
	const struct model_requests *q = &w->in.model->requests;
	char a[32], b[32], c[32];

	view_count(v, q->count);
	buf_printf(v->out, " requests answered, %" PRIu64 " of them slower than %s; %" PRIu64 " left unanswered\n",
	           q->slow, units_print_duration(a, sizeof(a), q->latency_ns), q->unanswered);
	if (w->found.samples)
		text_attribution(v, &w->found);
	buf_printf(v->out, "\n%12s %10s %10s %10s  route\n", "requests", "median", "p99", "max");
	for (size_t i = 0; i < w->found.route_count; i++) {
		const struct requests_route *r = &w->found.routes[i];

		buf_printf(v->out, "%12" PRIu64 " %10s %10s %10s  ", r->route->count,
		           units_print_duration(a, sizeof(a), r->p50_ns), units_print_duration(b, sizeof(b), r->p99_ns),
		           units_print_duration(c, sizeof(c), r->route->max_ns));
		view_text(v, VIEW_PLAIN, r->route->method);
		buf_add_char(v->out, ' ');
		view_text(v, VIEW_PLAIN, r->route->route);
		if (r->route->status)
			buf_printf(v->out, " %" PRIu32, r->route->status);
		buf_add_char(v->out, '\n');
	}
}

static void requests_text(const struct work *w, const struct view *v)
{
	view_losses(v, w->in.model);
	if (w->in.model->requests.recorded)
		text_routes(w, v);
	view_database_rows(v, &w->database);
	for (size_t i = 0; i < w->found.slow_count; i++)
		text_slow(v, w, i);
}

static int find_calls(struct work *w, struct err *err)
{
	int rc = database_rows(w->in.model, &w->database, err);

	if (rc < 0)
		return rc;
	w->calls = calloc(w->found.slow_count + 1, sizeof(*w->calls));
	if (!w->calls)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < w->found.slow_count && rc == 0; i++)
		rc = database_request(w->in.model, w->found.slowest[i].request->id, &w->calls[i], err);
	return rc;
}

/* Samples of that metric; NULL: there are none. Stacks that differ in lines only are one, unless lines are shown. */
static int build(struct work *w, enum profile_metric metric, struct profile **ret_profile, struct err *err)
{
	struct profile *p;
	int rc = profile_build(w->in.model, w->in.symbols, metric, &p, err);

	*ret_profile = NULL;
	if (rc < 0)
		return rc == -ENODATA ? 0 : rc; /* requests without samples are worth telling too */
	if (w->o.full_frames) {
		*ret_profile = p;
		return 0;
	}
	rc = fold_names(p, true, ret_profile, err);
	profile_free(p);
	return rc;
}

static int load(struct work *w, const char *path, struct err *err)
{
	int rc;

	w->in.how = &w->o.symbols;
	rc = cmd_load(path, &w->in, err);
	if (rc < 0)
		return rc;
	if (!w->in.model->requests.recorded && !w->in.model->database.row_count)
		return err_set(err, -ENODATA,
		               "%s: no requests were recorded (PERFPROBE_HTTP=off, or a recorder before 0.1.0)", path);
	rc = build(w, METRIC_CPU, &w->in.profile, err);
	if (rc == 0)
		rc = build(w, METRIC_OFF_CPU, &w->off_cpu, err);
	if (rc == 0)
		rc = requests_find(w->in.model, w->in.profile, w->off_cpu,
		                   w->o.top ? (size_t)w->o.top : DEFAULT_SLOWEST, &w->found, err);
	return rc == 0 ? find_calls(w, err) : rc;
}

static void done(struct work *w)
{
	for (size_t i = 0; w->calls && i < w->found.slow_count; i++)
		database_request_done(&w->calls[i]);
	free(w->calls);
	database_rows_done(&w->database);
	requests_done(&w->found);
	profile_free(w->off_cpu);
	cmd_input_done(&w->in);
}

static int run(int argc, char **argv, struct err *err)
{
	struct work w = { 0 };
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_requests, argc, argv, &w.o, &args, 1, 1, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = load(&w, args.items[0], err);
	if (rc == 0 && w.o.json)
		requests_json(&w, &out);
	else if (rc == 0)
		requests_text(&w, &(struct view){ &out, cmd_may_colour(w.o.output) });
	if (rc == 0)
		rc = cmd_output(w.o.output, &out, err);
	buf_done(&out);
	done(&w);
	return rc;
}

const struct cli_command cmd_requests = {
	"requests",
	run,
	option_table,
	"A",
	"latency by route, time in databases; the slowest requests, each with the stacks seen while it ran",
	"  probe-analyze requests server.4711.0001.exit.snap\n"
	"  probe-analyze requests --json --top 5 server.4711.live\n",
};

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "json_write.h"
#include "model.h"
#include "symbolize.h"
#include "units.h"
#include "view.h"
#include "view_misuse.h"

struct options {
	const char *output;
	bool json;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "json", 0, CLI_FLAG, NULL, "as JSON", offsetof(struct options, json) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

struct heap_totals {
	uint64_t live_bytes, alloc_bytes;
	uint64_t slop_bytes, largest;
	double live_count, alloc_count;
};

static struct heap_totals heap_totals(const struct model *m)
{
	struct heap_totals t = { 0 };

	for (size_t i = 0; i < m->heap_count; i++) {
		t.live_bytes += m->heap[i].alloc_bytes - m->heap[i].free_bytes;
		t.alloc_bytes += m->heap[i].alloc_bytes;
		t.live_count += m->heap[i].alloc_count - m->heap[i].free_count;
		t.alloc_count += m->heap[i].alloc_count;
		if (!m->heap[i].detail)
			continue;
		t.slop_bytes += m->heap[i].detail->slop_bytes;
		if (m->heap[i].detail->largest > t.largest)
			t.largest = m->heap[i].detail->largest;
	}
	return t;
}

static uint64_t samples_got(const struct model *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->cpu_count; i++)
		n += m->cpu[i].samples;
	return n;
}

static uint64_t losses_of(const struct model *m, const char *area)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->loss_count; i++)
		if (strncmp(m->losses[i].name, area, strlen(area)) == 0 &&
		    __builtin_add_overflow(n, m->losses[i].count, &n))
			return UINT64_MAX;
	return n;
}

static const char *heap_mode_name(const struct model *m)
{
	static const char *const names[] = { "off", "sampled", "full" };

	return names[m->heap_mode];
}

static void build_id_text(const struct model_module *mod, char text[2 * SNAP_MAX_BUILD_ID + 1])
{
	for (uint32_t i = 0; i < mod->build_id_bytes; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", mod->build_id[i]);
	text[2 * mod->build_id_bytes] = '\0';
}

static uint64_t offcpu_samples(const struct model *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->offcpu.row_count; i++)
		sum += m->offcpu.rows[i].samples;
	return sum;
}

/* A duration of the range in which a share `q` of them is reached; 0: there are none. */
static uint64_t times_quantile(const struct model_times *t, double q)
{
	uint64_t all = 0, seen = 0;
	unsigned i = 0;

	for (unsigned k = 0; k < SNAP_SAMPLER_RANGES; k++)
		all += t->range[k];
	if (!all)
		return 0;
	for (;; i++) {
		seen += t->range[i];
		if (i == SNAP_SAMPLER_RANGES - 1 || (seen && (double)seen >= q * (double)all))
			break;
	}
	/* its middle */
	return i ? ((uint64_t)(9 + 2 * ((i - 1) % 4)) << ((i - 1) / 4 + 5)) / 2 : 64;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void json_engines(struct json *j, const struct model *m)
{
	json_key(j, "engine");
	json_object_begin(j);
	json_key_string(j, "cpu", m->engine_cpu);
	json_key_string(j, "cpu_why", m->engine_cpu_why);
	json_key_string(j, "heap", m->engine_heap);
	json_key_string(j, "unwind", m->engine_unwind);
	json_object_end(j);
}

static void json_times(struct json *j, const char *key, const struct model_times *t)
{
	json_key(j, key);
	json_object_begin(j);
	json_key_u64(j, "p50_ns", times_quantile(t, 0.5));
	json_key_u64(j, "p99_ns", times_quantile(t, 0.99));
	json_key_u64(j, "max_ns", t->most_ns);
	json_object_end(j);
}

static void json_totals(struct json *j, const struct model *m)
{
	struct heap_totals t = heap_totals(m);

	json_key(j, "cpu");
	json_object_begin(j);
	json_key_u64(j, "samples", samples_got(m));
	json_key_u64(j, "lost", losses_of(m, "cpu.dropped") + losses_of(m, "cpu.deferred_full"));
	json_key_u64(j, "hz", m->cpu_hz);
	json_key_u64(j, "period_ns", m->cpu_period_ns);
	json_key_string(j, "clock", m->clock_is_wall ? "wall" : "cpu");
	json_key_u64(j, "process_cpu_ns", m->process_cpu_ns);
	json_times(j, "handler", &m->handler);
	json_times(j, "late", &m->late);
	json_object_end(j);
	json_key(j, "off_cpu");
	json_object_begin(j);
	json_key_u64(j, "samples", offcpu_samples(m));
	json_key_u64(j, "period_ns", m->offcpu.period_ns);
	json_key_string(j, "threads",
	                m->offcpu.scope == SNAP_OFFCPU_ALL        ? "all"
	                : m->offcpu.scope == SNAP_OFFCPU_REQUESTS ? "slow requests"
	                                                          : "none");
	json_key_string(j, "why", m->offcpu.why);
	json_object_end(j);
	json_key(j, "heap");
	json_object_begin(j);
	json_key_string(j, "mode", heap_mode_name(m));
	json_key_u64(j, "interval_bytes", m->heap_interval_bytes);
	json_key_u64(j, "live_bytes", t.live_bytes);
	json_key_u64(j, "live_count", profile_whole(t.live_count));
	json_key_u64(j, "alloc_bytes", t.alloc_bytes);
	json_key_u64(j, "alloc_count", profile_whole(t.alloc_count));
	json_key_u64(j, "peak_bytes", m->heap_peak_bytes);
	json_key_u64(j, "peak_ns", m->heap_peak_ns);
	json_key_u64(j, "largest_bytes", t.largest);
	json_key_u64(j, "slop_bytes", t.slop_bytes);
	json_key_u64(j, "detail_one_in", m->heap_detail_one_in);
	json_object_end(j);
	json_key(j, "requests");
	json_object_begin(j);
	json_key_bool(j, "recorded", m->requests.recorded);
	json_key_u64(j, "count", m->requests.count);
	json_key_u64(j, "slow", m->requests.slow);
	json_key_u64(j, "unanswered", m->requests.unanswered);
	json_key_u64(j, "latency_ns", m->requests.latency_ns);
	json_object_end(j);
}

static struct model_database_row database_sum(const struct model *m)
{
	struct model_database_row sum = { 0 };

	for (size_t i = 0; i < m->database.row_count; i++) {
		sum.count += m->database.rows[i].count;
		sum.errors += m->database.rows[i].errors;
	}
	return sum;
}

static void json_database(struct json *j, const struct model *m)
{
	struct model_database_row sum = database_sum(m);

	json_key(j, "database");
	json_object_begin(j);
	json_key_bool(j, "recorded", m->database.recorded);
	json_key_u64(j, "count", sum.count);
	json_key_u64(j, "errors", sum.errors);
	json_object_end(j);
}

static void json_marks(struct json *j, const struct model *m)
{
	uint64_t live = 0;

	for (size_t i = 0; i < m->mmap_count; i++)
		live += m->mmap[i].alloc_bytes;
	json_key(j, "mmap");
	json_object_begin(j);
	json_key_bool(j, "recorded", m->mmap_recorded);
	json_key_u64(j, "live_bytes", live);
	json_key_u64(j, "mapped_bytes", m->mmap_bytes);
	json_key_u64(j, "unmapped_bytes", m->munmap_bytes);
	json_key_u64(j, "peak_bytes", m->mmap_peak_bytes);
	json_key_u64(j, "peak_ns", m->mmap_peak_ns);
	json_object_end(j);
	json_key(j, "marks");
	json_array_begin(j);
	for (size_t i = 0; i < m->mark_count; i++) {
		json_object_begin(j);
		json_key_u64(j, "time_ns", m->marks[i].time_ns);
		json_key_u64(j, "tid", m->threads[m->marks[i].thread].tid);
		json_key_string(j, "name", m->marks[i].name);
		json_object_end(j);
	}
	json_array_end(j);
}

static void json_modules(struct json *j, const struct model *m, struct symbolizer *symbols)
{
	json_key(j, "modules");
	json_array_begin(j);
	for (size_t i = 0; i < m->module_count; i++) {
		char id[2 * SNAP_MAX_BUILD_ID + 1];
		struct symbols_state st;

		symbolizer_state(symbols, i, &st);
		build_id_text(&m->modules[i], id);
		json_object_begin(j);
		json_key_string(j, "path", m->modules[i].path);
		json_key_string(j, "build_id", id);
		json_key_bool(j, "symbols", st.kind != SYMBOLS_NONE);
		json_key_string(j, "symbols_kind", symbols_kind_name(st.kind));
		json_key_string(j, "why", st.why);
		json_key_string(j, "debug_file", st.file);
		json_key_string(j, "wanted_package", st.wanted_package);
		json_key_string(j, "wanted_file", st.wanted_file);
		json_key_u64(j, "start", m->modules[i].start);
		json_key_u64(j, "end", m->modules[i].end);
		json_key_u64(j, "bias", m->modules[i].bias);
		json_object_end(j);
	}
	json_array_end(j);
}

static void json_threads(struct json *j, const struct model *m)
{
	size_t heap = 0;

	json_key(j, "threads");
	json_array_begin(j);
	for (size_t i = 0; i < m->thread_count; i++) {
		json_object_begin(j);
		json_key_u64(j, "tid", m->threads[i].tid);
		json_key_string(j, "name", m->threads[i].name);
		json_key_u64(j, "start_ns", m->threads[i].start_ns);
		json_key_u64(j, "end_ns", m->threads[i].end_ns);
		json_key_u64(j, "cpu_ns", m->threads[i].cpu_ns);
		if (heap < m->heap_thread_count && m->heap_threads[heap].thread == i) {
			const struct model_heap_thread *t = &m->heap_threads[heap++];

			json_key_u64(j, "alloc_bytes", t->alloc_bytes);
			json_key_u64(j, "alloc_count", profile_whole(t->alloc_count));
			json_key_u64(j, "live_bytes", t->live_bytes);
			json_key_u64(j, "live_count", profile_whole(t->live_count));
		}
		json_object_end(j);
	}
	json_array_end(j);
}

static void json_options(struct json *j, const struct model *m)
{
	static const char *const sources[] = { "default", "environment", "runtime" };

	json_key(j, "lost");
	json_object_begin(j);
	for (size_t i = 0; i < m->loss_count; i++)
		json_key_u64(j, m->losses[i].name, m->losses[i].count);
	json_object_end(j);
	json_key(j, "options");
	json_array_begin(j);
	for (size_t i = 0; i < m->option_count; i++) {
		json_object_begin(j);
		json_key_string(j, "name", m->options[i].name);
		json_key_string(j, "value", m->options[i].value);
		json_key_string(j, "source", sources[m->options[i].source]);
		json_object_end(j);
	}
	json_array_end(j);
}

static int info_json(const struct model *m, struct symbolizer *symbols, struct buf *out, struct err *err)
{
	struct json j;
	int rc;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_u64(&j, "pid", m->pid);
	json_key_u64(&j, "ppid", m->ppid);
	json_key_u64(&j, "sequence", m->sequence);
	json_key_string(&j, "comm", m->comm);
	json_key_string(&j, "exe", m->exe);
	json_key_string(&j, "cmdline", m->cmdline);
	json_key_string(&j, "reason", m->reason);
	json_key_string(&j, "because", m->because);
	json_key_u64(&j, "start_ns", m->start_ns);
	json_key_u64(&j, "end_ns", m->end_ns);
	json_key_u64(&j, "start_wall_ns", m->start_wall_ns);
	json_key_u64(&j, "end_wall_ns", m->end_wall_ns);
	json_engines(&j, m);
	json_totals(&j, m);
	json_database(&j, m);
	json_marks(&j, m);
	json_modules(&j, m, symbols);
	json_threads(&j, m);
	json_options(&j, m);
	rc = view_misuse_json(&j, m, symbols, err);
	json_key_string(&j, "kernel", m->kernel);
	json_key_string(&j, "machine", m->machine);
	json_key_u64(&j, "cpus", m->cpus);
	json_key_string(&j, "recorder", m->recorder_version);
	json_key(&j, "format");
	json_object_begin(&j);
	json_key_u64(&j, "major", m->major);
	json_key_u64(&j, "minor", m->minor);
	json_object_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
	return rc;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void row(const struct view *v, const char *name)
{
	view_style(v, VIEW_DIM);
	buf_printf(v->out, "%-10s", name);
	view_style(v, VIEW_PLAIN);
}

static void text_when(const struct view *v, const struct model *m)
{
	char text[32], date[40] = "";
	time_t s = (time_t)(m->start_wall_ns / NS_PER_S);
	struct tm tm;

	if (gmtime_r(&s, &tm))
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	view_text(v, VIEW_BOLD, m->comm);
	buf_printf(v->out, " (pid %" PRIu64 "), recorded for %s from %s, ", m->pid,
	           units_print_duration(text, sizeof(text), m->end_ns - m->start_ns), date);
	if (strcmp(m->reason, "live") == 0) {
		buf_add_str(v->out,
		            "all that it had recorded:\nthis live file is of a process that runs, or that ended "
		            "without a last profile (by SIGKILL, or past libc as Go's exit)\n");
	} else {
		buf_add_str(v->out, "written because: ");
		view_text(v, VIEW_BOLD, m->reason);
		if (m->because[0]) {
			buf_add_str(v->out, ": ");
			view_text(v, VIEW_PLAIN, m->because);
		}
		buf_add_char(v->out, '\n');
	}
	row(v, "command");
	view_text(v, VIEW_PLAIN, m->cmdline[0] ? m->cmdline : m->exe);
	buf_add_char(v->out, '\n');
	row(v, "recorder");
	buf_add_str(v->out, "perfprobe ");
	view_text(v, VIEW_PLAIN, m->recorder_version);
	buf_printf(v->out, ", format %u.%u, Linux ", m->major, m->minor);
	view_text(v, VIEW_PLAIN, m->kernel);
	buf_add_char(v->out, ' ');
	view_text(v, VIEW_PLAIN, m->machine);
	if (m->cpus)
		buf_printf(v->out, ", %" PRIu64 " CPUs", m->cpus);
	buf_add_char(v->out, '\n');
}

static void text_sampling(const struct view *v, const struct model *m)
{
	char median[32], p99[32], late[32], latest[32];

	if (!times_quantile(&m->handler, 1))
		return;
	row(v, "");
	buf_printf(v->out, "a sample took %s (p99 %s), and came %s off its time (p99 %s)\n",
	           units_print_duration(median, sizeof(median), times_quantile(&m->handler, 0.5)),
	           units_print_duration(p99, sizeof(p99), times_quantile(&m->handler, 0.99)),
	           units_print_duration(late, sizeof(late), times_quantile(&m->late, 0.5)),
	           units_print_duration(latest, sizeof(latest), times_quantile(&m->late, 0.99)));
}

static void text_cpu(const struct view *v, const struct model *m)
{
	uint64_t got = samples_got(m);
	double expected = m->cpu_period_ns ? (double)m->process_cpu_ns / (double)m->cpu_period_ns : 0;
	char text[32];

	row(v, "cpu");
	if (m->cpu_hz == 0 && got == 0) {
		buf_add_str(v->out, "not sampled\n");
		return;
	}
	view_count(v, got);
	buf_printf(v->out, " samples at %" PRIu64 " Hz of CPU time; %.0f expected of %s used", m->cpu_hz, expected,
	           units_print_duration(text, sizeof(text), m->process_cpu_ns));
	if (expected >= 10)
		buf_printf(v->out, " (%.1f %%)", 100 * (double)got / expected);
	buf_add_str(v->out, "\n");
	text_sampling(v, m);
	row(v, "");
	buf_add_str(v->out, "engine ");
	view_text(v, VIEW_PLAIN, m->engine_cpu);
	if (m->engine_cpu_why[0]) {
		buf_add_str(v->out, ": ");
		view_text(v, VIEW_PLAIN, m->engine_cpu_why);
	}
	buf_add_str(v->out, "; unwinding ");
	view_text(v, VIEW_PLAIN, m->engine_unwind);
	buf_add_char(v->out, '\n');
}

static void text_offcpu(const struct view *v, const struct model *m)
{
	const struct model_offcpu *o = &m->offcpu;

	if (o->scope == SNAP_OFFCPU_NONE && !*o->why)
		return;
	row(v, "off-CPU");
	view_count(v, offcpu_samples(m));
	buf_add_str(v->out, o->scope == SNAP_OFFCPU_ALL        ? " samples of waiting threads"
	                    : o->scope == SNAP_OFFCPU_REQUESTS ? " samples, of threads that waited in slow requests"
	                                                       : " samples: ");
	view_text(v, VIEW_PLAIN, o->why);
	buf_add_char(v->out, '\n');
}

static void text_heap(const struct view *v, const struct model *m)
{
	struct heap_totals t = heap_totals(m);
	char a[32], b[32], c[32];

	row(v, "heap");
	if (m->heap_mode == SNAP_HEAP_OFF && m->heap_count == 0) {
		buf_add_str(v->out, "not recorded\n");
		return;
	}
	buf_add_str(v->out, heap_mode_name(m));
	if (m->heap_mode == SNAP_HEAP_SAMPLED)
		buf_printf(v->out, ", one sample per %s on average (figures are estimates)",
		           units_print_bytes(a, sizeof(a), m->heap_interval_bytes));
	buf_add_str(v->out, "; engine ");
	view_text(v, VIEW_PLAIN, m->engine_heap);
	buf_add_char(v->out, '\n');
	row(v, "");
	buf_printf(v->out, "live %s in ", units_print_bytes(a, sizeof(a), t.live_bytes));
	view_count(v, profile_whole(t.live_count));
	buf_printf(v->out, " blocks; allocated %s in ", units_print_bytes(b, sizeof(b), t.alloc_bytes));
	view_count(v, profile_whole(t.alloc_count));
	buf_printf(v->out, "; peak %s", units_print_bytes(c, sizeof(c), m->heap_peak_bytes));
	if (m->heap_peak_ns >= m->start_ns && m->heap_peak_ns <= m->end_ns)
		buf_printf(v->out, " after %s", units_print_duration(a, sizeof(a), m->heap_peak_ns - m->start_ns));
	buf_add_char(v->out, '\n');
	if (!t.largest)
		return;
	row(v, "");
	buf_printf(v->out, "largest block %s", units_print_bytes(a, sizeof(a), t.largest));
	if (m->heap_detail_one_in)
		buf_printf(v->out, "; slop of live blocks %s", units_print_bytes(b, sizeof(b), t.slop_bytes));
	if (m->heap_detail_one_in > 1)
		buf_printf(v->out, " (of a stack's blocks after 256 one in %" PRIu64 " was measured)",
		           m->heap_detail_one_in);
	buf_add_char(v->out, '\n');
}

static void text_threads(const struct view *v, const struct model *m)
{
	enum { MOST = 20 };

	row(v, "threads");
	view_count(v, m->thread_count);
	buf_add_char(v->out, '\n');
	for (size_t i = 0; i < m->thread_count && i < MOST; i++) {
		char text[32];

		row(v, "");
		buf_printf(v->out, "%-8" PRIu64 "%10s CPU  ", m->threads[i].tid,
		           units_print_duration(text, sizeof(text), m->threads[i].cpu_ns));
		view_text(v, VIEW_PLAIN, m->threads[i].name);
		if (m->threads[i].end_ns)
			view_text(v, VIEW_DIM, " (ended)");
		buf_add_char(v->out, '\n');
	}
	if (m->thread_count > MOST)
		buf_printf(v->out, "%10s... and %zu more (--json lists all)\n", "", m->thread_count - MOST);
}

/* "; package libjq1-dbgsym, or /usr/lib/debug/.build-id/..., would bring them" */
static void text_wanted(const struct view *v, const struct symbols_state *st)
{
	if (!st->wanted_package[0] && !st->wanted_file[0])
		return;
	buf_add_str(v->out, "; to be had from ");
	if (st->wanted_package[0]) {
		buf_add_str(v->out, "package ");
		view_text(v, VIEW_PLAIN, st->wanted_package);
	}
	if (st->wanted_package[0] && st->wanted_file[0])
		buf_add_str(v->out, " or ");
	view_text(v, VIEW_DIM, st->wanted_file);
}

static void text_modules(const struct view *v, const struct model *m, struct symbolizer *symbols)
{
	row(v, "modules");
	view_count(v, m->module_count);
	buf_add_str(v->out, ", with symbols from:\n");
	for (size_t i = 0; i < m->module_count; i++) {
		struct symbols_state st;

		symbolizer_state(symbols, i, &st);
		row(v, "");
		view_style(v, st.kind == SYMBOLS_NONE ? VIEW_BAD : VIEW_GOOD);
		buf_printf(v->out, "%-7s ", symbols_kind_name(st.kind));
		view_style(v, VIEW_PLAIN);
		view_text(v, VIEW_PLAIN, m->modules[i].path);
		if (m->modules[i].unload_ns)
			buf_add_str(v->out, " (unloaded)");
		if (st.file[0]) {
			buf_add_str(v->out, "  + ");
			view_text(v, VIEW_DIM, st.file);
		}
		buf_add_char(v->out, '\n');
		if (st.why[0]) {
			row(v, "");
			buf_printf(v->out, "%8s", "");
			view_text(v, VIEW_DIM, st.why);
			text_wanted(v, &st);
			buf_add_char(v->out, '\n');
		}
	}
}

static void text_mmap(const struct view *v, const struct model *m)
{
	uint64_t live = 0;
	char a[32], b[32];

	if (!m->mmap_recorded)
		return;
	for (size_t i = 0; i < m->mmap_count; i++)
		live += m->mmap[i].alloc_bytes;
	row(v, "mmap");
	buf_printf(v->out, "mapped %s; peak %s\n", units_print_bytes(a, sizeof(a), live),
	           units_print_bytes(b, sizeof(b), m->mmap_peak_bytes));
}

static void text_database(const struct view *v, const struct model *m)
{
	struct model_database_row sum = database_sum(m);

	if (!sum.count)
		return;
	row(v, "database");
	view_count(v, sum.count);
	buf_add_str(v->out, " calls");
	if (sum.errors)
		buf_printf(v->out, ", %" PRIu64 " of them failed", sum.errors);
	buf_add_char(v->out, '\n');
}

static void text_requests(const struct view *v, const struct model *m)
{
	char text[32];

	if (!m->requests.recorded || (!m->requests.count && !m->requests.unanswered && !m->requests.request_count))
		return;
	row(v, "requests");
	view_count(v, m->requests.count);
	buf_printf(v->out, " answered, %" PRIu64 " of them slower than %s", m->requests.slow,
	           units_print_duration(text, sizeof(text), m->requests.latency_ns));
	if (m->requests.unanswered)
		buf_printf(v->out, "; %" PRIu64 " left unanswered", m->requests.unanswered);
	buf_add_char(v->out, '\n');
}

static void text_marks(const struct view *v, const struct model *m)
{
	enum { MOST = 20 };
	char text[32];

	for (size_t i = m->mark_count > MOST ? m->mark_count - MOST : 0; i < m->mark_count; i++) {
		const struct model_mark *k = &m->marks[i];

		row(v, i == 0 || i + MOST == m->mark_count ? "marks" : "");
		buf_printf(v->out, "%10s  ",
		           units_print_duration(text, sizeof(text),
		                                k->time_ns > m->start_ns ? k->time_ns - m->start_ns : 0));
		view_text(v, VIEW_PLAIN, k->name);
		buf_add_char(v->out, '\n');
	}
	if (m->mark_count > MOST)
		buf_printf(v->out, "%10s... and %zu before (--json lists all)\n", "", m->mark_count - MOST);
}

static void text_options(const struct view *v, const struct model *m)
{
	size_t told = 0;

	row(v, "options");
	for (size_t i = 0; i < m->option_count; i++) {
		if (m->options[i].source == SNAP_OPTION_DEFAULT)
			continue;
		if (told++)
			buf_add_char(v->out, ' ');
		view_text(v, VIEW_PLAIN, m->options[i].name);
		buf_add_char(v->out, '=');
		view_text(v, VIEW_PLAIN, m->options[i].value);
	}
	buf_add_str(v->out, told ? "\n" : "all defaults\n");
}

static int info_text(const struct model *m, struct symbolizer *symbols, const struct view *v, struct err *err)
{
	size_t before = v->out->len;
	int rc;

	view_losses(v, m);
	if (v->out->len == before)
		buf_printf(v->out, "lost: nothing (%zu causes counted)\n", m->loss_count);
	rc = view_misuse_text(v, m, symbols, err);
	text_when(v, m);
	text_cpu(v, m);
	text_offcpu(v, m);
	text_heap(v, m);
	text_mmap(v, m);
	text_requests(v, m);
	text_database(v, m);
	text_marks(v, m);
	text_options(v, m);
	text_threads(v, m);
	text_modules(v, m, symbols);
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct cmd_input in = { .how = &o.symbols };
	struct cli_args args;
	struct buf out = { 0 };
	int rc = cmd_parse(&cmd_info, argc, argv, &o, &args, 1, 1, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = cmd_load(args.items[0], &in, err);
	if (rc == 0) {
		struct view v = { &out, cmd_may_colour(o.output) };

		if (o.json)
			rc = info_json(in.model, in.symbols, &out, err);
		else
			rc = info_text(in.model, in.symbols, &v, err);
	}
	if (rc == 0)
		rc = cmd_output(o.output, &out, err);
	buf_done(&out);
	cmd_input_done(&in);
	return rc;
}

const struct cli_command cmd_info = {
	"info",
	run,
	option_table,
	"A",
	"what was recorded, by which engines, what was lost, which modules lack symbols and why",
	"  probe-analyze info server.4711.0001.exit.snap\n"
	"  probe-analyze info --json server.4711.0001.exit.snap -o info.json\n",
};

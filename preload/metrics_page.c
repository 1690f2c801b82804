/*
 * metrics_page.c - from what the recorder knows to a page.
 *
 * A part writes some families (metrics.def) and is a row of `parts`: whoever records something new adds both. Spans of a
 * database, when they are recorded, are a row "add_database" with the family database_query_duration_seconds (OpenTelemetry:
 * db_client_operation_duration_seconds), written by metrics_histogram() like those of requests. What is not recorded
 * (PERFPROBE_HTTP=off, no heap, no leak check yet) has no family on the page: absent is not 0.
 */
#include "metrics_page.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "database.h"
#include "dump.h"
#include "http.h"
#include "leaks.h"
#include "live.h"
#include "losses.h"
#include "metrics_text.h"
#include "os_linux.h"
#include "recorder.h"
#include "requests.h"
#include "snapshot_name.h"
#include "sockets.h"
#include "sql.h"
#include "start.h"
#include "state.h"
#include "totals.h"
#include "units.h"

enum {
	HERTZ = 100,           /* of times in /proc: USER_HZ, the same on every processor we know */
	NOT_KNOWN = -1,        /* a figure is left out */
	ENTRIES_MAX = 1 << 17, /* descriptors that are counted one by one, before Linux 6.2 */
	STAT_START = 22 - 3,   /* proc_pid_stat(5): fields behind the state, which is field 3 */
	STAT_THREADS = 20 - 3,
};

/* What a page is made of, read once for all its parts. */
struct page {
	struct metrics_text t;
	const struct config *config;
	struct totals totals;
	uint64_t answered[REQUESTS_ROUTES]; /* by row, so that families agree */
};

static uint64_t scrapes, scrape_ns;
static bool refused; /* this process is in the next */
/* Processes that had to go without a page, in memory that forked children share; where there is none, our own. */
static _Atomic uint64_t refused_alone, *refused_family = &refused_alone;
static uint64_t helpers_ns; /* CPU time of the helpers before this one */
static uint64_t start_ns;   /* of the process, since 1970; 0: not known yet */

/* ---- requests ----------------------------------------------------------------------------------------------------- */

struct route {
	const struct request_route *row;
	bool otel;
};

static void route_labels(struct metrics_text *t, const void *of)
{
	const struct route *r = of;

	metrics_label(t, r->otel ? "http_request_method" : "method",
	              http_method_name((enum http_method)r->row->method));
	metrics_label(t, r->otel ? "http_route" : "route", r->row->route);
	metrics_label_number(t, r->otel ? "http_response_status_code" : "status", r->row->status);
	if (r->otel)
		metrics_label(t, "url_scheme", "http"); /* others are not seen */
}

static uint64_t read_durations(const struct durations *d, uint64_t ret_count[DURATION_BOUNDS + 1])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i <= DURATION_BOUNDS; i++)
		sum += ret_count[i] = load_relaxed(&d->bounded[i]); /* figures: order nothing */
	return sum;
}

static void add_durations(struct page *p)
{
	uint64_t count[DURATION_BOUNDS + 1];

	if (!metrics_family(&p->t, METRIC_HTTP_DURATION))
		return;
	for (uint32_t i = 0; i < REQUESTS_ROUTES; i++) {
		struct route r = { requests_route(i), p->t.otel };
		struct metrics_histogram h = { duration_bound_ns, count, DURATION_BOUNDS,
			                       p->t.otel ? DURATION_BOUNDS_FINE : 0, 0 };

		p->answered[i] = r.row ? read_durations(&r.row->took, count) : 0;
		if (!p->answered[i])
			continue;
		h.sum_ns = load_relaxed(&r.row->took.sum_ns);
		metrics_histogram(&p->t, &h, route_labels, &r);
	}
}

static void add_counts(struct page *p, const struct requests_totals *totals)
{
	if (!metrics_family(&p->t, METRIC_HTTP_REQUESTS))
		return;
	for (uint32_t i = 0; i < REQUESTS_ROUTES; i++) {
		struct route r = { requests_route(i), p->t.otel };

		if (!p->answered[i])
			continue;
		metrics_sample(&p->t, "");
		route_labels(&p->t, &r);
		metrics_number(&p->t, p->answered[i]);
	}
	if (!totals->untimed)
		return;
	metrics_sample(&p->t, "");
	metrics_label(&p->t, "method", http_method_name(HTTP_METHOD_OTHER));
	metrics_label(&p->t, "route", "_UNTIMED"); /* more pipelined ones than are followed: http.open_full */
	metrics_label(&p->t, "status", "0");
	metrics_number(&p->t, totals->untimed);
}

static void add_requests(struct page *p)
{
	struct requests_totals totals = requests_totals();

	if (!p->config->http)
		return;
	add_durations(p);
	add_counts(p, &totals);
	metrics_one(&p->t, METRIC_HTTP_UNANSWERED, totals.unanswered);
	if (p->config->latency)
		metrics_one(&p->t, METRIC_HTTP_SLOW, totals.slow);
	metrics_one(&p->t, METRIC_CONNECTIONS, sockets_connections());
}

/* ---- databases ---------------------------------------------------------------------------------------------------- */

static void database_labels(struct metrics_text *t, const void *of)
{
	const struct database_row *r = of;

	metrics_label(t, t->otel ? "db_system_name" : "system", sql_system_name((enum sql_system)r->system));
	metrics_label(t, t->otel ? "db_operation_name" : "operation",
	              sql_operation_name((enum sql_operation)r->operation));
	metrics_label(t, t->otel ? "db_collection_name" : "table", r->table);
}

static bool any_database(void)
{
	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		if (database_row(i) && durations_count(&database_row(i)->took))
			return true;
	return false;
}

static void add_database(struct page *p)
{
	uint64_t count[DURATION_BOUNDS + 1];
	const struct database_row *r;

	if (!p->config->database || !any_database())
		return;
	if (metrics_family(&p->t, METRIC_DATABASE_DURATION))
		for (uint32_t i = 0; i < DATABASE_ROWS; i++) {
			struct metrics_histogram h = { duration_bound_ns, count, DURATION_BOUNDS, 0, 0 };

			r = database_row(i);
			if (!r || !read_durations(&r->took, count))
				continue;
			h.sum_ns = load_relaxed(&r->took.sum_ns);
			metrics_histogram(&p->t, &h, database_labels, r);
		}
	if (metrics_family(&p->t, METRIC_DATABASE_ERRORS))
		for (uint32_t i = 0; i < DATABASE_ROWS; i++) {
			r = database_row(i);
			if (!r || !durations_count(&r->took))
				continue;
			metrics_sample(&p->t, "");
			database_labels(&p->t, r);
			metrics_number(&p->t, load_relaxed(&r->errors));
		}
}

/* ---- the process -------------------------------------------------------------------------------------------------- */

/* Numbers of /proc/self/NAME behind the last `behind` (or the start), separated by blanks. How many were there. */
static unsigned read_numbers(const char *path, char behind, uint64_t *ret, unsigned most)
{
	char text[1024];
	const char *at = text;
	unsigned n = 0;

	if (os_read_file(path, text, sizeof(text)) <= 0)
		return 0;
	if (behind) {
		at = strrchr(text, behind);
		if (!at)
			return 0;
		at++;
	}
	while (n < most && *(at += strspn(at, " \n"))) {
		uint64_t value = 0;

		for (const char *c = at; *c >= '0' && *c <= '9'; c++)
			value = value * 10 + (uint64_t)(*c - '0');
		ret[n++] = value; /* 0 for what is no number: the state, negative ones; nobody asks for those */
		at += strcspn(at, " \n");
	}
	return n;
}

static void add_memory_type(struct metrics_text *t, const char *type, uint64_t bytes)
{
	metrics_sample(t, "");
	metrics_label(t, "type", type);
	metrics_number(t, bytes);
}

/* statm: size, resident and shared in pages, proc_pid_statm(5). Of this thread: that of a first thread which has ended is 0. */
static void add_memory(struct page *p)
{
	uint64_t statm[3], page = getauxval(AT_PAGESZ);
	bool has_statm = read_numbers("/proc/thread-self/statm", '\0', statm, 3) == 3;

	if (metrics_family(&p->t, METRIC_MEMORY)) {
		if (recorder_mode != HEAP_OFF)
			add_memory_type(&p->t, "heap", p->totals.live_bytes);
		if (has_statm) {
			add_memory_type(&p->t, "resident", statm[1] * page);
			add_memory_type(&p->t, "shared", statm[2] * page);
			add_memory_type(&p->t, "virtual", statm[0] * page);
		}
	}
	if (!has_statm)
		return;
	metrics_one(&p->t, METRIC_RESIDENT, statm[1] * page);
	metrics_one(&p->t, METRIC_VIRTUAL, statm[0] * page);
}

/* Since Linux 6.2 the size of the directory is their number; else they are counted. linux/dirent.h, as in helper.c. None: the first
 * thread has ended, and its table with it; ours is another. */
static int64_t open_descriptors(void)
{
	char entries[4096];
	int64_t n = 0;
	struct stat st;
	int fd = os_open("/proc/self/fd", O_RDONLY | O_DIRECTORY, 0);
	long got = -1;

	if (fd < 0)
		return NOT_KNOWN;
	if (os_fstat(fd, &st) == 0 && st.st_size > 0) {
		n = st.st_size;
		got = 0;
	} else {
		while (n < ENTRIES_MAX &&
		       (got = os_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0)) > 0)
			for (long at = 0; at < got; n++) {
				uint16_t reclen;

				memcpy(&reclen, entries + at + 16, sizeof(reclen));
				at += reclen;
			}
		n -= 2; /* . and .. */
	}
	os_close(fd);
	return got == 0 && n > 0 ? n : NOT_KNOWN;
}

static void add_limit(struct page *p, enum metric id, int resource)
{
	struct rlimit limit;

	if (os_call(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0) < 0 || !metrics_family(&p->t, id))
		return;
	metrics_sample(&p->t, "");
	if (limit.rlim_cur == RLIM_INFINITY)
		metrics_infinite(&p->t);
	else
		metrics_number(&p->t, limit.rlim_cur);
}

/* Since 1970, from ticks since boot. Told once: both clocks are moved now and then, and the start is not. */
static uint64_t process_start_ns(uint64_t ticks)
{
	if (!start_ns)
		start_ns = os_wall_ns() - os_boot_ns() + ticks * (NS_PER_S / HERTZ);
	return start_ns;
}

static void add_process(struct page *p)
{
	uint64_t stat[STAT_START + 1];
	int64_t descriptors = open_descriptors();

	metrics_one_seconds(&p->t, METRIC_CPU, os_cpu_ns());
	add_limit(p, METRIC_VIRTUAL_MAX, RLIMIT_AS);
	if (descriptors >= 0)
		metrics_one(&p->t, METRIC_FDS, (uint64_t)descriptors);
	add_limit(p, METRIC_MAX_FDS, RLIMIT_NOFILE);
	if (read_numbers("/proc/self/stat", ')', stat, STAT_START + 1) != STAT_START + 1)
		return;
	metrics_one_seconds(&p->t, METRIC_START, process_start_ns(stat[STAT_START]));
	metrics_one(&p->t, METRIC_THREADS, stat[STAT_THREADS]);
}

/* ---- the recording ------------------------------------------------------------------------------------------------ */

static void add_info(struct page *p)
{
	const struct snapshot_about about = dump_about("");
	char comm[32];

	snapshot_name_comm(comm, sizeof(comm));
	if (metrics_family(&p->t, METRIC_INFO)) {
		metrics_sample(&p->t, "");
		metrics_label(&p->t, "version", PERFPROBE_VERSION);
		metrics_label(&p->t, "comm", comm);
		metrics_label_number(&p->t, "pid", (uint64_t)os_pid());
		metrics_label(&p->t, "cpu", about.engine_cpu);
		metrics_label(&p->t, "heap", about.engine_heap);
		metrics_label(&p->t, "unwind", about.engine_unwind);
		metrics_number(&p->t, 1);
	}
	metrics_one(&p->t, METRIC_RECORDING, state_get() == STATE_RUNNING);
}

static void add_heap(struct page *p)
{
	const struct totals *sum = &p->totals;

	if (recorder_mode == HEAP_OFF)
		return;
	metrics_one(&p->t, METRIC_HEAP_LIVE_BYTES, sum->live_bytes);
	metrics_one(&p->t, METRIC_HEAP_LIVE_BLOCKS, sum->live_count);
	metrics_one(&p->t, METRIC_HEAP_BYTES, sum->alloc_bytes);
	metrics_one(&p->t, METRIC_HEAP_BLOCKS, sum->alloc_count);
	metrics_one(&p->t, METRIC_HEAP_FREED_BYTES, sum->free_bytes);
	metrics_one(&p->t, METRIC_HEAP_FREED, sum->free_count);
}

struct leaked {
	bool known;
	uint64_t wall_ns, pause_ns;
	uint64_t bytes[SNAP_LEAK_KIND_COUNT][2], blocks[SNAP_LEAK_KIND_COUNT][2]; /* [kind][confirmed] */
};

static struct leaked leaked; /* at the last check */
static uint64_t leaked_ns;   /* when that was, by the recorder's clock */

static void add_leaked(struct page *p, enum metric id, uint64_t figure[SNAP_LEAK_KIND_COUNT][2])
{
	static const char *const kinds[] = { "direct", "indirect" };

	if (!metrics_family(&p->t, id))
		return;
	for (unsigned kind = 0; kind < SNAP_LEAK_KIND_COUNT; kind++)
		for (unsigned confirmed = 0; confirmed < 2; confirmed++) {
			metrics_sample(&p->t, "");
			metrics_label(&p->t, "kind", kinds[kind]);
			metrics_label(&p->t, "confirmed", confirmed ? "yes" : "no");
			metrics_number(&p->t, figure[kind][confirmed]);
		}
}

static struct leaked add_up(const struct leaks_result *r)
{
	struct leaked sum = { .known = true, .pause_ns = r->pause_ns };

	sum.wall_ns = os_wall_ns() - (os_now_ns() - r->time_ns);
	for (size_t i = 0; i < r->count; i++) {
		const struct leaks_row *row = &r->rows[i];

		if (row->kind >= SNAP_LEAK_KIND_COUNT)
			continue;
		sum.bytes[row->kind][1] += row->confirmed_bytes;
		sum.bytes[row->kind][0] += row->bytes - row->confirmed_bytes;
		sum.blocks[row->kind][1] += row->confirmed_count;
		sum.blocks[row->kind][0] += row->count - row->confirmed_count;
	}
	return sum;
}

/* While a check is under way, and after one that could not be made, the figures are those of the one before. */
static void add_leaks(struct page *p)
{
	const struct leaks_result *r = leaks_last();

	if (r && !r->state && !leaks_is_under_way() && r->time_ns != leaked_ns) {
		leaked = add_up(r);
		leaked_ns = r->time_ns;
	}
	if (!leaked.known)
		return;
	metrics_one_seconds(&p->t, METRIC_LEAK_TIME, leaked.wall_ns);
	metrics_one_seconds(&p->t, METRIC_LEAK_PAUSE, leaked.pause_ns);
	add_leaked(p, METRIC_LEAKED_BYTES, leaked.bytes);
	add_leaked(p, METRIC_LEAKED_BLOCKS, leaked.blocks);
}

static void add_cost(struct page *p)
{
	metrics_one(&p->t, METRIC_SAMPLES, p->totals.samples);
	metrics_one_seconds(&p->t, METRIC_HELPER_CPU, helpers_ns + os_thread_cpu_ns(os_tid()));
	metrics_one(&p->t, METRIC_MAPPED, os_mapped_bytes());
	metrics_one(&p->t, METRIC_LIVE_FILE, live_bytes());
	metrics_one(&p->t, METRIC_PROFILES, dump_count());
	metrics_one(&p->t, METRIC_REFUSED, load_relaxed(refused_family)); /* a figure: orders nothing */
	metrics_one(&p->t, METRIC_SCRAPES, scrapes);
	metrics_one_seconds(&p->t, METRIC_SCRAPE_SECONDS, scrape_ns);
}

static void add_losses(struct page *p)
{
	if (!metrics_family(&p->t, METRIC_LOST))
		return;
	for (unsigned i = 0; i < LOSS_COUNT; i++) {
		metrics_sample(&p->t, "");
		metrics_label(&p->t, "cause", loss_name((enum loss)i));
		metrics_number(&p->t, load_relaxed(&losses_count[i])); /* a statistic: orders nothing */
	}
}

/* ---- the page ----------------------------------------------------------------------------------------------------- */

typedef void metrics_add(struct page *p);
static metrics_add *const parts[] = { add_requests, add_database, add_memory, add_process, add_info,
	                              add_heap,     add_leaks,    add_cost,   add_losses };

void metrics_page_init(const struct config *config)
{
	long at;

	if (!config->metrics)
		return;
	at = os_call(SYS_mmap, 0, sizeof(*refused_family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return;
	refused_family = (_Atomic uint64_t *)at;
	(void)os_own(refused_family, sizeof(*refused_family)); /* else the leak check looks at a small number in it */
}

bool metrics_page_refused(void)
{
	bool before = refused;

	refused = true;
	return !before && add_relaxed(refused_family, 1) == 0; /* one is the first; orders nothing else */
}

size_t metrics_page(char *to, size_t size, bool otel, bool openmetrics)
{
	uint64_t began = os_now_ns();
	static struct page p; /* one page at a time */

	scrapes++;
	p.config = start_config();
	p.totals = totals_count();
	metrics_text_begin(&p.t, to, size, otel, openmetrics);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		parts[i](&p);
	metrics_text_end(&p.t);
	scrape_ns += os_now_ns() - began;
	return p.t.full ? 0 : p.t.used;
}

void metrics_page_helper_ends(void)
{
	helpers_ns += os_thread_cpu_ns(os_tid());
}

void metrics_page_fork_child(void)
{
	scrapes = scrape_ns = helpers_ns = start_ns = 0;
	refused = false;
	leaked.known = false;
	leaked_ns = 0;
}

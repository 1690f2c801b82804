/* A .snap with given content, for tests that need known numbers: make_snapshot FILE < LINES. Stacks are root first,
 * hexadecimal addresses in /nowhere/demo (loaded at 0x400000, no such file: frames show as "demo+0xADDRESS") separated by ';'.
 *	comm NAME                              cpu THREAD STACK SAMPLES
 *	hz N                                   time THREAD STACK NS WEIGHT       (in order of time; counted in cpu too)
 *	lost NAME COUNT                        heap STACK ALLOCS BYTES FREES BYTES [PEAK BYTES [TEMPORARY]]
 *	end SECONDS                            lived RANGE COUNT                 (freed blocks of the last heap line)
 *	sampled INTERVAL                       check CHECKS METHOD               (for unreachable blocks, a second before the end)
 *	uncheckable WHY                        leak STACK direct|indirect OWNER COUNT BYTES CONFIRMED BYTES FIRST_S LAST_S ERROR
 *	hide TEMPLATE                          note WORDS                        (of the check; OWNER is a stack, or 0)
 *	module BUILD_ID PATH                   pid N
 *	route STATUS COUNT NS METHOD ROUTE     request ID THREAD START_NS NS STATUS METHOD PATH    (in order of id; NS 0: under way)
 *	span THREAD FROM_NS TO_NS REQUEST      (in order of begin)
 * THREAD is 0 or 1: tids 4711 and 4712. The recording lasts from second 1 to second 61, unless "end" says otherwise. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot_build.h"

enum { MAX_ROWS = 20000, MAX_TEXT = 64 };

static struct model_node nodes[MAX_ROWS];
static struct model_heap_row heap[MAX_ROWS];
static struct model_cpu_row cpu[MAX_ROWS];
static struct model_sample samples[MAX_ROWS];
static struct model_loss losses[16];
static struct model_leak leaks[MAX_ROWS];
static struct model_heap_detail details[MAX_ROWS];
static struct model_request requests[MAX_ROWS];
static struct model_request_span spans[MAX_ROWS];
static struct model_route routes[64];
static struct model_bucket buckets[64];
static char method[MAX_TEXT], note[256], hidden[4096], module_path[1024];
static char loss_names[16][MAX_TEXT], comm[MAX_TEXT] = "demo";
static struct model_module modules[] = { { .start = 0x400000,
	                                   .end = 0x500000,
	                                   .bias = 0,
	                                   .flags = SNAP_MODULE_MAIN,
	                                   .load_ns = 1,
	                                   .path = "/nowhere/demo" } };
static struct model_thread threads[] = { { 4711, "demo", 1000000000, 0, 1 }, { 4712, "worker", 2000000000, 0, 1 } };

static uint32_t node_of(struct model *m, uint32_t parent, uint64_t pc)
{
	for (size_t i = 0; i < m->node_count; i++)
		if (nodes[i].parent == parent && nodes[i].pc == pc)
			return (uint32_t)i + 1;
	assert(m->node_count < MAX_ROWS);
	nodes[m->node_count] = (struct model_node){ parent, pc };
	return (uint32_t)++m->node_count;
}

static uint32_t stack_of(struct model *m, char *text)
{
	uint32_t at = 0;
	char *word;

	while ((word = strsep(&text, ";")))
		at = node_of(m, at, strtoull(word, NULL, 16));
	return at;
}

static void read_build_id(const char *hex)
{
	struct model_module *module = &modules[0];

	for (module->build_id_bytes = 0; sscanf(hex, "%2hhx", &module->build_id[module->build_id_bytes]) == 1; hex += 2)
		module->build_id_bytes++;
	module->path = module_path;
	module->start = 0;
	module->end = 0x10000000;
}

static bool read_leak(struct model *m, const char *line)
{
	char stack[4096], kind[16], owner[4096];
	double first, last;
	struct model_leak *l = &leaks[m->leaks.count];

	if (sscanf(line, "leak %4095s %15s %4095s %lf %lu %lf %lu %lf %lf %lu", stack, kind, owner, &l->count,
	           &l->bytes, &l->confirmed_count, &l->confirmed_bytes, &first, &last, &l->error_bytes) != 10)
		return false;
	l->stack = stack_of(m, stack);
	l->kind = strcmp(kind, "indirect") == 0 ? SNAP_LEAK_INDIRECT : SNAP_LEAK_DIRECT;
	l->owner = strcmp(owner, "0") == 0 ? 0 : stack_of(m, owner);
	l->samples = l->count < 1 ? 1 : (uint64_t)l->count;
	l->first_ns = (uint64_t)(first * 1e9);
	l->last_ns = (uint64_t)(last * 1e9);
	m->leaks.count++;
	return true;
}

static bool read_leak_line(struct model *m, const char *line)
{
	char text[1024];
	unsigned range, count;

	if (sscanf(line, "check %lu %63s", &m->leaks.checks, method) == 2)
		m->leaks.recorded = m->leaks.done = true;
	else if (sscanf(line, "uncheckable %255[^\n]", note) == 1)
		m->leaks.recorded = true;
	else if (sscanf(line, "hide %1023[^\n]", text) == 1)
		(void)snprintf(hidden + strlen(hidden), sizeof(hidden) - strlen(hidden), "%s\n", text);
	else if (sscanf(line, "module %1023s %1023[^\n]", text, module_path) == 2)
		read_build_id(text);
	else if (sscanf(line, "lived %u %u", &range, &count) == 2 && m->heap_count && range < SNAP_LIFETIMES) {
		details[m->heap_count - 1].lifetime[range] = count;
		heap[m->heap_count - 1].detail = &details[m->heap_count - 1];
		m->heap_detail_one_in = 1;
	} else
		return sscanf(line, "note %255[^\n]", note) == 1 || sscanf(line, "pid %lu", &m->pid) == 1 ||
		       sscanf(line, "sampled %lu", &m->heap_interval_bytes) == 1 || read_leak(m, line);
	return true;
}

/* snapshot_layout.h: SNAP_REQUEST_BUCKETS. */
static uint32_t bucket_of(uint64_t ns)
{
	unsigned shift = ns < 64 ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 5;

	return ns < 64 ? (uint32_t)ns : (uint32_t)((shift + 1) * 32 + (ns >> shift) - 32);
}

static bool read_route(struct model_requests *q, const char *line)
{
	struct model_route *r = &routes[q->route_count];
	char verb[32], name[MAX_TEXT];

	if (sscanf(line, "route %u %lu %lu %31s %63[^\n]", &r->status, &r->count, &r->max_ns, verb, name) != 5)
		return false;
	r->method = strdup(verb); /* for the life of this program */
	r->route = strdup(name);
	r->sum_ns = r->count * r->max_ns;
	buckets[q->route_count] = (struct model_bucket){ bucket_of(r->max_ns), r->count };
	r->buckets = &buckets[q->route_count++];
	r->bucket_count = 1;
	q->count += r->count;
	return true;
}

static bool read_request_line(struct model_requests *q, const char *line)
{
	struct model_request *r = &requests[q->request_count];
	struct model_request_span *s = &spans[q->span_count];
	char verb[32], path[MAX_TEXT];
	uint64_t ns;

	if (sscanf(line, "request %lu %u %lu %lu %u %31s %63[^\n]", &r->id, &r->thread_start, &r->start_ns, &ns,
	           &r->status, verb, path) == 7) {
		r->method = strdup(verb);
		r->path = strdup(path);
		r->thread_end = r->thread_start;
		r->end_ns = ns ? r->start_ns + ns : 0;
		r->first_ns = ns ? r->start_ns + ns / 2 : 0;
		q->request_count++;
	} else if (sscanf(line, "span %u %lu %lu %lu", &s->thread, &s->from_ns, &s->to_ns, &s->request) == 4) {
		q->span_count++;
	} else if (!read_route(q, line)) {
		return false;
	}
	q->recorded = true;
	return true;
}

static bool read_line(struct model *m, const char *line)
{
	char stack[4096];
	struct model_heap_row h = { 0 };
	struct model_cpu_row c;
	struct model_sample s;

	if (sscanf(line, "cpu %u %4095s %lu", &c.thread, stack, &c.samples) == 3) {
		c.stack = stack_of(m, stack);
		cpu[m->cpu_count++] = c;
		return true;
	}
	if (sscanf(line, "time %u %4095s %lu %u", &s.thread, stack, &s.time_ns, &s.weight) == 4) {
		s.stack = stack_of(m, stack);
		samples[m->sample_count++] = s;
		return true;
	}
	if (sscanf(line, "heap %4095s %lf %lu %lf %lu %lf %lu %lf", stack, &h.alloc_count, &h.alloc_bytes,
	           &h.free_count, &h.free_bytes, &h.peak_count, &h.peak_bytes, &h.temporary_count) >= 5) {
		h.stack = stack_of(m, stack);
		heap[m->heap_count++] = h;
		return true;
	}
	if (sscanf(line, "lost %63s %lu", loss_names[m->loss_count], &losses[m->loss_count].count) == 2) {
		losses[m->loss_count].name = loss_names[m->loss_count];
		m->loss_count++;
		return true;
	}
	if (sscanf(line, "end %lu", &m->end_ns) == 1) {
		m->end_ns *= 1000000000;
		return true;
	}
	return read_request_line(&m->requests, line) || read_leak_line(m, line) ||
	       sscanf(line, "hz %lu", &m->cpu_hz) == 1 || sscanf(line, "comm %63[^\n]", comm) == 1;
}

static int by_stack(const void *a, const void *b)
{
	const struct model_cpu_row *x = a, *y = b;

	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return (x->thread > y->thread) - (x->thread < y->thread);
}

static int by_heap_stack(const void *a, const void *b)
{
	const struct model_heap_row *x = a, *y = b;

	return (x->stack > y->stack) - (x->stack < y->stack);
}

static int by_leak(const void *a, const void *b)
{
	const struct model_leak *x = a, *y = b;

	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->owner > y->owner) - (x->owner < y->owner);
}

/* What every check has. */
static void finish_leaks(struct model *m)
{
	struct model_leaks *l = &m->leaks;

	l->method = method;
	l->note = note;
	l->suppressions = hidden;
	l->sampled = m->heap_mode == SNAP_HEAP_SAMPLED;
	l->rows = leaks;
	qsort(leaks, l->count, sizeof(*leaks), by_leak);
	if (!l->recorded)
		return;
	l->time_ns = m->end_ns - 1000000000;
	l->pause_ns = 1234567;
	l->check_ns = 40000000;
	l->cpu_ns = 30000000;
	l->memory_bytes = 3 << 20;
	l->threads = 2;
	l->blocks = 1234;
	l->block_bytes = 567890;
	l->root_bytes = 1 << 20;
}

static void fill(struct model *m)
{
	*m = build_empty();
	m->cpu_hz = 100;
	m->pid = 4711;
	m->comm = comm;
	m->start_ns = 1000000000;
	m->end_ns = UINT64_C(61000000000);
	m->modules = modules;
	m->module_count = 1;
	m->threads = threads;
	m->thread_count = 2;
	m->nodes = nodes;
	m->heap = heap;
	m->cpu = cpu;
	m->samples = samples;
	m->losses = losses;
	m->requests.routes = routes;
	m->requests.requests = requests;
	m->requests.spans = spans;
	m->requests.latency_ns = 1000000000;
}

int main(int argc, char **argv)
{
	struct model m;
	FILE *out = argc == 2 ? fopen(argv[1], "wb") : NULL;
	char *line = NULL;
	uint8_t *file;
	size_t cap = 0, bytes;

	assert(out);
	fill(&m);
	while (getline(&line, &cap, stdin) > 0) {
		assert(m.cpu_count < MAX_ROWS && m.sample_count < MAX_ROWS && m.heap_count < MAX_ROWS &&
		       m.loss_count < 16);
		if (line[0] != '\n' && !read_line(&m, line)) {
			fprintf(stderr, "make_snapshot: what is this: %s", line);
			return 1;
		}
	}
	free(line);
	m.cpu_period_ns = 1000000000 / m.cpu_hz;
	m.heap_mode = !m.heap_count ? SNAP_HEAP_OFF : m.heap_interval_bytes ? SNAP_HEAP_SAMPLED : SNAP_HEAP_FULL;
	finish_leaks(&m);
	qsort(cpu, m.cpu_count, sizeof(*cpu), by_stack);
	qsort(heap, m.heap_count, sizeof(*heap), by_heap_stack);
	model_check(&m);
	file = build_snapshot(&m, true, &bytes);
	assert(fwrite(file, 1, bytes, out) == bytes);
	assert(fclose(out) == 0);
	free(file);
	return 0;
}

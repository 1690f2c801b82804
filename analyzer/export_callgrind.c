/*
 * export_callgrind.c - the call graph that callgrind_annotate and KCachegrind read (valgrind's manual, "Callgrind Format").
 *
 * Costs stand by function and source line: own ones, and for each call the callee's inclusive ones. A function's inclusive cost is
 * what its incoming calls cost. With recursion that would count a stack more than once, so of each stack only the call of a
 * function's outermost frame counts: calls add up to the cost of the stacks that a function is on. A function that calls
 * itself shows no call of itself. Functions that begin stacks are not called; where they are called elsewhere too, "[root]" calls
 * them, so that nothing is missing.
 * "calls=N" is not the number of calls, which nobody counted, but of samples or blocks that the call is on the stack of.
 * Names are compressed: "(id) name" at first, "(id)" later. Lines of a file other than the function's own are given as 0.
 */
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "export_parts.h"
#include "functions.h"
#include "intern.h"
#include "profile.h"

#define NO_CALLEE UINT32_MAX

struct cost_key {
	uint32_t function, line, callee; /* callee NO_CALLEE: own cost; function count of functions: "[root]" */
};

struct cost {
	struct cost_key key;
	uint64_t value, count;
};

struct writer {
	const struct profile *p;
	const struct functions *functions;
	const struct export_options *o;
	struct arena arena;
	struct intern keys, files, objects;
	struct cost *costs;
	size_t cost_cap;
	uint64_t *seen; /* by function: the last stack it was met on, + 1 */
	bool *called;   /* by function */
	bool *told;     /* by function: its name has been written */
	bool in_bytes;
	uint64_t value, count;
	struct buf *out, scratch;
};

/* ---- sums ---- */

static int add_cost(struct writer *w, struct cost_key key, const struct profile_stack *s)
{
	int64_t i = intern_add(&w->keys, &key, sizeof(key));

	if (i == INTERN_FAILED)
		return -ENOMEM;
	if ((size_t)i >= w->cost_cap) {
		size_t cap = w->cost_cap ? w->cost_cap * 2 : 1024;
		struct cost *costs = realloc(w->costs, cap * sizeof(*costs));

		if (!costs)
			return -ENOMEM;
		memset(costs + w->cost_cap, 0, (cap - w->cost_cap) * sizeof(*costs));
		w->costs = costs;
		w->cost_cap = cap;
	}
	w->costs[i].key = key;
	w->costs[i].value += s->value;
	w->costs[i].count += s->count;
	return 0;
}

static uint32_t line_of(const struct profile_frame *frame, const struct function *f)
{
	return frame->file && f->file && strcmp(frame->file, f->file) == 0 ? frame->line : 0;
}

static uint32_t function_at(const struct writer *w, const struct profile_stack *s, uint32_t i)
{
	return s->depth ? w->functions->of_frame[0][s->frames[i]] : w->functions->unknown;
}

/* From the root inwards: the first frame of a function that is met is its outermost. */
static int add_stack(struct writer *w, const struct profile_stack *s, uint64_t number)
{
	uint32_t caller = NO_CALLEE, line = 0;
	int rc = 0;

	for (uint32_t i = s->depth; i-- > 0 && rc == 0;) {
		uint32_t f = function_at(w, s, i);

		if (w->seen[f] != number + 1 && caller != NO_CALLEE)
			rc = add_cost(w, (struct cost_key){ caller, line, f }, s);
		w->called[f] |= caller != NO_CALLEE;
		w->seen[f] = number + 1;
		line = line_of(&w->p->frames[s->frames[i]], &w->functions->items[f]);
		caller = f;
	}
	if (rc == 0)
		rc = add_cost(w, (struct cost_key){ s->depth ? caller : w->functions->unknown, line, NO_CALLEE }, s);
	return rc;
}

static bool is_wanted(const struct writer *w, const struct profile_stack *s)
{
	return w->o->tid == EXPORT_ALL_THREADS ||
	       (s->thread < w->p->thread_count && w->p->threads[s->thread].tid == w->o->tid);
}

static int add_stacks(struct writer *w)
{
	uint32_t root = (uint32_t)w->functions->count;
	int rc = 0;

	for (size_t i = 0; i < w->p->stack_count && rc == 0; i++) {
		if (!is_wanted(w, &w->p->stacks[i]))
			continue;
		rc = add_stack(w, &w->p->stacks[i], i);
		w->value += w->p->stacks[i].value;
		w->count += w->p->stacks[i].count;
	}
	for (size_t i = 0; i < w->p->stack_count && rc == 0; i++) {
		const struct profile_stack *s = &w->p->stacks[i];
		uint32_t f = function_at(w, s, s->depth ? s->depth - 1 : 0);

		if (is_wanted(w, s) && w->called[f])
			rc = add_cost(w, (struct cost_key){ root, 0, f }, s);
	}
	return rc;
}

/* Own costs, then calls. */
static int by_function(const void *a, const void *b)
{
	const struct cost_key *x = &((const struct cost *)a)->key, *y = &((const struct cost *)b)->key;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	if (x->callee != y->callee)
		return x->callee + 1 < y->callee + 1 ? -1 : 1; /* NO_CALLEE + 1 is 0 */
	return (x->line > y->line) - (x->line < y->line);
}

/* ---- text ---- */

static void write_costs(struct writer *w, uint64_t value, uint64_t count)
{
	uint64_t period = w->p->period_ns;

	buf_printf(w->out, "%llu", (unsigned long long)value);
	if (period || w->in_bytes)
		buf_printf(w->out, " %llu", (unsigned long long)(period ? value * period : count));
	buf_add_char(w->out, '\n');
}

/* "fl=(3) name\n", or "fl=(3)\n" once it was told. */
static int write_name(struct writer *w, struct intern *names, const char *key, const char *name)
{
	size_t before = names->count;
	int64_t i;

	buf_clear(&w->scratch);
	export_line_name(&w->scratch, name[0] ? name : "???");
	if (w->scratch.failed)
		return -ENOMEM;
	i = intern_add(names, w->scratch.data, w->scratch.len);
	if (i == INTERN_FAILED)
		return -ENOMEM;
	buf_printf(w->out, "%s(%lld)", key, (long long)i + 1);
	if (names->count > before) {
		buf_add_char(w->out, ' ');
		buf_add(w->out, w->scratch.data, w->scratch.len);
	}
	buf_add_char(w->out, '\n');
	return 0;
}

static int write_function(struct writer *w, const char *const keys[3], uint32_t number)
{
	static const struct function root = { .name = "[root]", .module = "" };
	const struct function *f = number < w->functions->count ? &w->functions->items[number] : &root;
	int rc = write_name(w, &w->objects, keys[0], f->module);

	if (rc == 0)
		rc = write_name(w, &w->files, keys[1], f->file ? f->file : "");
	if (rc < 0)
		return rc;
	buf_printf(w->out, "%s(%u)", keys[2], number + 1);
	if (!w->told[number]) {
		buf_add_char(w->out, ' ');
		export_line_name(w->out, f->name);
		w->told[number] = true;
	}
	buf_add_char(w->out, '\n');
	return 0;
}

static int write_cost(struct writer *w, const struct cost *c)
{
	static const char *const callee_keys[3] = { "cob=", "cfi=", "cfn=" };
	int rc = 0;

	if (c->key.callee != NO_CALLEE) {
		rc = write_function(w, callee_keys, c->key.callee);
		buf_printf(w->out, "calls=%llu %u\n", (unsigned long long)c->count,
		           w->functions->items[c->key.callee].line);
	}
	buf_printf(w->out, "%u ", c->key.line);
	write_costs(w, c->value, c->count);
	return rc;
}

static int write_functions(struct writer *w)
{
	static const char *const keys[3] = { "ob=", "fl=", "fn=" };
	int rc = 0;

	if (w->keys.count)
		qsort(w->costs, w->keys.count, sizeof(*w->costs), by_function);
	for (size_t i = 0; i < w->keys.count && rc == 0; i++) {
		const struct cost *c = &w->costs[i];

		if (i == 0 || c->key.function != c[-1].key.function) {
			buf_add_char(w->out, '\n');
			rc = write_function(w, keys, c->key.function);
		}
		if (rc == 0)
			rc = write_cost(w, c);
		buf_pour(w->out);
	}
	return rc;
}

/* "cpu_ns" and the like: names of events are one word each. */
static void write_time_events(struct buf *out, const char *metric)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%s_ns", metric);
	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : *c;
	buf_printf(out, "event: Samples : samples\nevent: %s : nanoseconds\nevents: Samples %s\n", name, name);
}

static void write_head(struct writer *w)
{
	const struct profile *p = w->p;

	buf_add_str(w->out, "# callgrind format\nversion: 1\ncreator: perfprobe " PERFPROBE_VERSION "\n");
	buf_printf(w->out, "pid: %llu\ncmd: ", (unsigned long long)p->pid);
	export_line_name(w->out, p->cmdline);
	buf_add_str(w->out, "\npart: 1\n\ndesc: Trigger: ");
	export_title(&w->scratch, p);
	export_line_name(w->out, w->scratch.data ? w->scratch.data : "");
	buf_add_str(w->out, "\ndesc: Info: calls are samples or blocks, not calls\ndesc: Lost: ");
	export_losses(w->out, p);
	buf_add_str(w->out, "\n\npositions: line\n");
	if (p->period_ns)
		write_time_events(w->out, profile_metric_name(p->metric));
	else if (w->in_bytes)
		buf_printf(w->out, "event: Bytes : %s\nevent: Blocks : blocks\nevents: Bytes Blocks\n",
		           profile_text(p));
	else
		buf_printf(w->out, "event: Allocations : %s\nevents: Allocations\n", profile_text(p));
	buf_add_str(w->out, "summary: ");
	write_costs(w, w->value, w->count);
}

int export_callgrind(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct functions functions = { 0 };
	struct writer w = { .p = p, .o = o, .functions = &functions, .out = out };
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc < 0)
		return rc;
	w.in_bytes = strcmp(profile_metric_unit(p->metric), "bytes") == 0;
	w.keys.arena = w.files.arena = w.objects.arena = &w.arena;
	w.seen = calloc(functions.count + 1, sizeof(*w.seen));
	w.told = calloc(functions.count + 1, sizeof(*w.told));
	w.called = calloc(functions.count + 1, sizeof(*w.called));
	rc = w.seen && w.told && w.called ? add_stacks(&w) : -ENOMEM;
	if (rc == 0) {
		write_head(&w);
		rc = write_functions(&w);
		buf_add_str(out, "\ntotals: ");
		write_costs(&w, w.value, w.count);
	}
	if (rc < 0)
		rc = err_set(err, rc, "out of memory for the call graph");
	out->failed |= w.scratch.failed;
	buf_done(&w.scratch);
	intern_done(&w.keys);
	intern_done(&w.files);
	intern_done(&w.objects);
	arena_done(&w.arena);
	free(w.costs);
	free(w.seen);
	free(w.told);
	free(w.called);
	functions_done(&functions);
	return rc;
}

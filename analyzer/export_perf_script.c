/*
 * export_perf_script.c - the text that perf script prints, which many tools read.
 *
 *	COMM PID/TID SEC.NSEC:     PERIOD EVENT:
 *	\tADDRESS SYMBOL (MODULE)           leaf first; then an empty line
 *
 * The header is one that perf itself writes with --header; readers skip lines with '#'. Blanks end fields, so names of
 * threads and modules have '_' for them. Readers that take time stamps for weights (speedscope) and readers that sum the periods
 * show the same: a sample stands one period after the one before, on the axis of CPU time; with one thread asked for,
 * where the clock had it. Threads come one after the other: within a thread time does not run back.
 * Memory metrics: one event for each stack, whose period is the value; "time" counts the events.
 */
#include "export.h"

#include <errno.h>
#include <string.h>

#include "export_parts.h"
#include "export_threads.h"
#include "profile.h"
#include "units.h"

/* Of frames: some 300 MB. A profile that would have more has no repeated samples. */
static const uint64_t MAX_LINES = 5000000;

struct writer {
	const struct profile *p;
	uint64_t lines; /* of frames, if each sample were an event */
	struct buf *out, event, thread, frame;
};

static void replace_blanks(struct buf *b, size_t start, const char *also)
{
	for (size_t i = start; i < b->len; i++)
		if (b->data[i] == ' ' || strchr(also, b->data[i]))
			b->data[i] = '_';
}

static void write_header(struct writer *w)
{
	buf_add_str(w->out, "# ========\n# perfprobe " PERFPROBE_VERSION ": ");
	buf_clear(&w->frame);
	export_title(&w->frame, w->p);
	export_line_name(w->out, w->frame.data ? w->frame.data : "");
	buf_add_str(w->out, "\n# command : ");
	export_line_name(w->out, w->p->cmdline);
	buf_add_str(w->out, "\n# lost : ");
	export_losses(w->out, w->p);
	buf_add_str(w->out, "\n# ========\n#\n");
}

/* Readers cut "+0x1f" off, an offset inside the function: "demo+0x1f", the name of a place without one, gets one for that. */
static void write_frame(struct writer *w, const struct profile_frame *f)
{
	size_t start;

	buf_printf(w->out, "\t%16llx ", (unsigned long long)f->offset);
	export_line_name(w->out, f->function);
	buf_add_str(w->out, strstr(f->function, "+0x") ? "+0x0 (" : " (");
	start = w->out->len;
	if (f->inlined)
		buf_add_str(w->out, "inlined");
	else
		export_line_name(w->out, f->module[0] ? f->module : "[unknown]");
	replace_blanks(w->out, start, "()");
	buf_add_str(w->out, ")\n");
}

static void write_event(struct writer *w, uint64_t tid, uint64_t at_ns, uint64_t period, uint32_t number)
{
	const struct profile_stack *s = &w->p->stacks[number];
	static const struct profile_frame unknown = { "[unknown]", "", NULL, 0, 0, false };

	buf_printf(w->out, "%s %llu/%llu %llu.%09llu: %10llu %s:\n", w->thread.data, (unsigned long long)w->p->pid,
	           (unsigned long long)tid, (unsigned long long)(at_ns / NS_PER_S),
	           (unsigned long long)(at_ns % NS_PER_S), (unsigned long long)period, w->event.data);
	for (uint32_t i = 0; i < s->depth; i++)
		write_frame(w, &w->p->frames[s->frames[i]]);
	if (s->depth == 0)
		write_frame(w, &unknown);
	buf_add_char(w->out, '\n');
	buf_pour(w->out);
}

/* A run of samples that are not repeated is its first and its last, which has the other periods: readers of time stamps, which
 * give a sample half the way to its neighbours, see the same. */
static void write_timeline(struct writer *w, const struct export_thread *t, const struct export_timeline *line)
{
	for (size_t i = 0; i < line->count; i++) {
		const struct export_instant *at = &line->items[i];
		uint64_t at_ns = line->start_ns + at->at_us * NS_PER_US, period = w->p->period_ns;

		if (at->stack == EXPORT_IDLE)
			continue;
		write_event(w, t->tid, at_ns, period, at->stack);
		if (at->weight > 1)
			write_event(w, t->tid, at_ns + (at->weight - 1) * period, (at->weight - 1) * period, at->stack);
	}
}

static int write_time(struct writer *w, const struct export_thread *t, bool by_clock)
{
	struct export_timeline line;
	int rc = export_timeline_get(&t->samples, w->p->period_ns, by_clock, w->p->start_ns, t->end_ns,
	                             w->lines > MAX_LINES ? 0 : EXPORT_REPEATED, &line);

	if (rc < 0)
		return rc;
	write_timeline(w, t, &line);
	export_timeline_done(&line);
	return 0;
}

static void write_memory(struct writer *w, const struct export_thread *t)
{
	for (size_t i = 0; i < t->samples.count; i++)
		write_event(w, t->tid, w->p->start_ns + i * NS_PER_MS, t->samples.items[i].weight,
		            t->samples.items[i].stack);
}

int export_perf_script(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct writer w = { .p = p, .out = out };
	struct export_threads threads = { 0 };
	int rc = export_check_thread(p, o->tid, err);

	if (rc < 0)
		return rc;
	if (export_threads_get(p, o->tid, &threads) < 0)
		return err_set(err, -ENOMEM, "out of memory for the samples");
	if (p->period_ns) /* "cpu-clock" is perf's own name */
		buf_printf(&w.event, "%s-clock", profile_metric_name(p->metric));
	else
		buf_printf(&w.event, "perfprobe-%s", profile_metric_name(p->metric));
	for (size_t i = 0; i < p->stack_count && w.lines <= MAX_LINES; i++)
		w.lines += p->stacks[i].depth * (p->stacks[i].value < MAX_LINES ? p->stacks[i].value : MAX_LINES);
	write_header(&w);
	for (size_t i = 0; rc == 0 && i < threads.count; i++) {
		buf_clear(&w.thread);
		export_line_name(&w.thread, threads.items[i].name);
		replace_blanks(&w.thread, 0, "");
		if (p->period_ns)
			rc = write_time(&w, &threads.items[i], o->tid != EXPORT_ALL_THREADS);
		else
			write_memory(&w, &threads.items[i]);
	}
	if (rc < 0)
		rc = err_set(err, rc, "out of memory for the samples");
	out->failed |= w.event.failed | w.thread.failed | w.frame.failed;
	buf_done(&w.event);
	buf_done(&w.thread);
	buf_done(&w.frame);
	export_threads_done(&threads);
	return rc;
}

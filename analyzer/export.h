/* Profiles as files that other tools open. One table: name on the command line, file suffix, function.
 * Every exporter writes the same totals: the sum of all weights, and each function's own and inclusive sums.
 * Units      cpu and wall values are samples; formats that want time get samples x period_ns. Memory metrics are bytes.
 * Context    hosted programs, any thread. Errors: 0 or -errno with a sentence; memory exhaustion is sticky in the buffer. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"
#include "err.h"

struct profile;

/* name on the command line, file suffix, what opens it, function */
#define EXPORTERS(X)                                                                                          \
	X("cpuprofile", ".cpuprofile", "Chrome DevTools, VS Code, speedscope (time only)", export_cpuprofile) \
	X("speedscope", ".speedscope.json", "speedscope", export_speedscope)                                  \
	X("folded", ".folded", "flame graph scripts, speedscope; one stack a line", export_folded)            \
	X("json", ".json", "programs: every stack with its value", export_json)
#define EXPORTERS_LATER(X)                                                 \
	X("heapprofile", ".heapprofile", "Chrome DevTools (memory)", NULL) \
	X("pprof", ".pb.gz", "pprof, Pyroscope, Parca", NULL)              \
	X("trace", ".trace.json", "Perfetto, Chrome tracing", NULL)        \
	X("firefox", ".firefox.json", "Firefox Profiler", NULL)            \
	X("callgrind", ".callgrind", "KCachegrind", NULL)                  \
	X("perf-script", ".perf.txt", "what reads perf script", NULL)      \
	X("dhat", ".dhat.json", "DHAT viewer", NULL)
/* For help texts: " heapprofile pprof ..." */
#define EXPORTER_WORD(name, suffix, help, write) " " name
/* As the value of an option: "cpuprofile|speedscope|..." */
#define EXPORTER_VALUE                             (&EXPORTERS(EXPORTER_CHOICE)[1])
#define EXPORTER_CHOICE(name, suffix, help, write) "|" name

#define EXPORT_ALL_THREADS UINT64_MAX

struct export_options {
	uint64_t tid;       /* only threads with this tid; EXPORT_ALL_THREADS: all */
	bool thread_frames; /* folded: the thread is the outermost frame */
	bool full_frames;   /* json: frames are objects */
	uint64_t top;       /* json: the largest N stacks; 0: all */
};

struct exporter {
	const char *name;
	const char *suffix; /* of the usual file name */
	const char *help;   /* what opens it */
	/* NULL: known, not built yet. */
	int (*write)(const struct profile *p, const struct export_options *options, struct buf *out, struct err *err);
};

extern const struct exporter exporters[];
extern const size_t exporter_count;

/* NULL if there is none of that name. */
const struct exporter *exporter_find(const char *name);
/* -EINVAL with a sentence where the profile has no thread of that tid, or its metric is not kept by thread. */
int export_check_thread(const struct profile *p, uint64_t tid, struct err *err) MUST_USE;

int export_cpuprofile(const struct profile *p, const struct export_options *o, struct buf *out,
                      struct err *err) MUST_USE;
int export_speedscope(const struct profile *p, const struct export_options *o, struct buf *out,
                      struct err *err) MUST_USE;
int export_folded(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err) MUST_USE;
int export_json(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err) MUST_USE;

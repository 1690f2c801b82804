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

struct model;
struct profile;

/* name on the command line, file suffix, what opens it, function, what it can hold */
#define EXPORTERS(X)                                                                                                \
	X("cpuprofile", ".cpuprofile", "Chrome DevTools, VS Code, speedscope (time only)", export_cpuprofile,       \
	  EXPORT_TIME)                                                                                              \
	X("heapprofile", ".heapprofile", "Chrome DevTools, VS Code, speedscope (bytes only)", export_heapprofile,   \
	  EXPORT_MEMORY)                                                                                            \
	X("speedscope", ".speedscope.json", "speedscope", export_speedscope, EXPORT_ANY)                            \
	X("pprof", ".pb.gz", "pprof, Pyroscope, Parca", export_pprof, EXPORT_ANY | EXPORT_AT_ONCE)                  \
	X("folded", ".folded", "flame graph scripts, speedscope; one stack a line", export_folded, EXPORT_ANY)      \
	X("trace", ".trace.json", "Chrome DevTools (Performance), Perfetto: threads by the clock, requests, marks", \
	  export_trace, EXPORT_TIME)                                                                                \
	X("firefox", ".firefox.json", "Firefox Profiler (profiler.firefox.com)", export_firefox, EXPORT_ANY)        \
	X("callgrind", ".callgrind", "KCachegrind, callgrind_annotate", export_callgrind, EXPORT_ANY)               \
	X("perf-script", ".perf.txt", "what reads the output of perf script", export_perf_script, EXPORT_ANY)       \
	X("dhat", ".dhat.json", "DHAT's viewer, Firefox Profiler (the heap)", export_dhat,                          \
	  EXPORT_MEMORY | EXPORT_AT_ONCE)                                                                           \
	X("json", ".json", "programs: every stack with its value", export_json, EXPORT_ANY)
/* For help texts: " heapprofile pprof ..." */
#define EXPORTER_WORD(name, suffix, help, write, holds) " " name
/* As the value of an option: "cpuprofile|speedscope|..." */
#define EXPORTER_VALUE                                    (&EXPORTERS(EXPORTER_CHOICE)[1])
#define EXPORTER_CHOICE(name, suffix, help, write, holds) "|" name
/* For help texts: a line each. */
#define EXPORTER_LINE(name, suffix, help, write, holds) "  " name ": " help "\n"

#define EXPORT_ALL_THREADS UINT64_MAX

/* What a format that tells of blocks has at once, whatever metric was asked for. */
enum export_memory {
	EXPORT_ALLOC,
	EXPORT_ALLOC_COUNT,
	EXPORT_LIVE,
	EXPORT_LIVE_COUNT,
	EXPORT_PEAK,
	EXPORT_MEMORY_COUNT
};

struct export_options {
	uint64_t tid;       /* only threads with this tid; EXPORT_ALL_THREADS: all */
	bool thread_frames; /* folded: the thread is the outermost frame */
	bool full_frames;   /* json: frames are objects */
	uint64_t top;       /* json: the largest N stacks; 0: all */
	/* The snapshot itself: modules' build-ids and addresses, requests, marks. NULL: not at hand, then they are left out. */
	const struct model *model;
	/* By enum export_memory, all of the same snapshot; NULL where only the one profile is at hand. */
	const struct profile *memory[EXPORT_MEMORY_COUNT];
};

/* What a format can hold; the function itself refuses the rest. */
enum export_holds {
	EXPORT_TIME = 1,
	EXPORT_MEMORY = 2,
	EXPORT_ANY = EXPORT_TIME | EXPORT_MEMORY,
	EXPORT_AT_ONCE = 4, /* several metrics of the heap: options.memory */
};

struct exporter {
	const char *name;
	const char *suffix; /* of the usual file name */
	const char *help;   /* what opens it */
	int (*write)(const struct profile *p, const struct export_options *options, struct buf *out, struct err *err);
	unsigned holds; /* enum export_holds */
};

extern const struct exporter exporters[];
extern const size_t exporter_count;

/* NULL if there is none of that name. */
const struct exporter *exporter_find(const char *name);
/* -EINVAL with a sentence where the profile has no thread of that tid, or its metric is not kept by thread. */
int export_check_thread(const struct profile *p, uint64_t tid, struct err *err) MUST_USE;
/* -EINVAL with a sentence where the metric is no time. `what` names the file: "a .cpuprofile". */
int export_check_time(const struct profile *p, const char *what, struct err *err) MUST_USE;
/* Is it one of those that options.memory tells all of: live, live-count, alloc, alloc-count, peak? */
bool export_is_of_memory(const struct profile *p);

#define EXPORTER_DECLARE(name, suffix, help, write, holds)                                                         \
	int write(const struct profile *p, const struct export_options *options, struct buf *out, struct err *err) \
	        MUST_USE;
EXPORTERS(EXPORTER_DECLARE)
#undef EXPORTER_DECLARE

/* One metric of one snapshot as stacks of named frames: what every view, diff and exporter takes.
 * Made by profile_build() from a model and a symbolizer; immutable afterwards.
 * Ownership  the profile owns everything its pointers lead to (strings included); the model may be freed before it.
 * Context    hosted programs, any thread (read-only). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "snapshot_layout.h"

struct model;
struct path_node;
struct symbolizer;

/* One table: name on the command line, unit of `value`, what it says. */
#define PROFILE_METRICS(X)                                                         \
	X(CPU, "cpu", "samples", "CPU time")                                       \
	X(WALL, "wall", "samples", "wall-clock time")                              \
	X(LIVE, "live", "bytes", "live bytes")                                     \
	X(LIVE_COUNT, "live-count", "allocations", "live blocks")                  \
	X(ALLOC, "alloc", "bytes", "bytes allocated")                              \
	X(ALLOC_COUNT, "alloc-count", "allocations", "allocations")                \
	X(PEAK, "peak", "bytes", "bytes live at the peak")                         \
	X(TEMPORARY, "temporary", "allocations", "temporary allocations")          \
	X(LEAKED, "leaked", "bytes", "bytes not freed")                            \
	X(SLOP, "slop", "bytes", "bytes of live blocks beyond what was asked for") \
	X(MMAP, "mmap", "bytes", "bytes mapped by the program itself")             \
	X(OFF_CPU, "off-cpu", "samples", "time spent waiting")

/* As the value of an option: "cpu|wall|..." */
#define PROFILE_METRIC_VALUE                        (&PROFILE_METRICS(PROFILE_METRIC_CHOICE)[1])
#define PROFILE_METRIC_CHOICE(id, name, unit, text) "|" name

enum profile_metric {
#define PROFILE_METRIC_ENUM(id, name, unit, text) METRIC_##id,
	PROFILE_METRICS(PROFILE_METRIC_ENUM)
#undef PROFILE_METRIC_ENUM
	        METRIC_COUNT
};

struct profile_frame {
	const char
	        *function;  /* demangled; "libfoo.so+0x1234" without symbols; "[truncated]", "[lost]", "[perfprobe]" */
	const char *module; /* path; "" for special frames */
	const char *file;   /* source file; NULL if unknown */
	uint32_t line;      /* from 1; 0 = unknown */
	uint64_t offset;    /* address in the module's file (run-time address minus bias) */
	bool inlined;       /* its code stands inside the next outer frame's function */
};

/* An estimate of a count, as JSON and tables have it. */
static inline uint64_t profile_whole(double count)
{
	return (uint64_t)(count + 0.5);
}

#define PROFILE_NO_THREAD UINT32_MAX

/* What is known of a stack's blocks besides the metric. */
struct profile_heap {
	uint64_t largest;                /* bytes asked for by one allocation; 0: unknown */
	uint64_t slop_bytes;             /* usable minus asked, of live blocks */
	double lifetime[SNAP_LIFETIMES]; /* freed blocks by how long they lived; ranges: snapshot_layout.h */
};

struct profile_stack {
	uint64_t value;  /* in the metric's unit; never 0 */
	uint64_t count;  /* blocks for heap metrics, samples for cpu and wall */
	uint32_t thread; /* index into threads; PROFILE_NO_THREAD for heap metrics */
	uint32_t depth;
	uint32_t path; /* the same as a node of profile.paths */
	const uint32_t
	        *frames; /* indices into profile.frames, innermost (leaf) first; NULL in a profile that is in_tree */
	const struct profile_heap *heap; /* NULL: not recorded, or time */
};

struct profile_thread {
	uint64_t tid;
	const char *name;
	uint64_t start_ns, end_ns;
};

/* A sample with its time: those of the window only. `stack` is an index into stacks. */
struct profile_sample {
	uint64_t time_ns;
	uint32_t thread, stack, weight;
	uint64_t request; /* off-CPU samples: that the thread worked on; 0: none is known */
};

/* A cause of loss that the recorder counted: preload/losses.def. */
struct profile_loss {
	const char *name; /* "cpu.dropped" */
	uint64_t count;   /* never 0 */
};

struct profile {
	enum profile_metric metric;
	uint64_t period_ns;           /* CPU or wall time of one sample; 0 for heap metrics */
	uint64_t total;               /* sum of the stacks' values */
	struct profile_stack *stacks; /* largest value first, ties by frames: the order is the same in every run */
	struct profile_frame *frames; /* distinct: equal frames have one index */
	struct path_node *paths;      /* the stacks as a tree: items are frames, roots outermost. [1] to [path_count] */
	struct profile_thread *threads;
	struct profile_sample *samples; /* sorted by time; empty for heap metrics */
	size_t stack_count, frame_count, thread_count, sample_count, path_count;
	bool followed; /* lifetimes and slop were recorded; else only the largest block is in profile_heap */
	bool in_tree;  /* made by profile_build_tree(), or of such a one: stacks are paths until profile_frames() */
	bool partial;  /* blocks of another allocator are missing, nobody knows how many */
	bool checked;  /* METRIC_LEAKED: of unreachable blocks; else of blocks not freed, as nobody has checked them */
	bool lower_bound; /* checked, but only samples are known: at least so much is leaked */
	uint64_t lost;    /* everything the recorder counted as lost that makes this metric's total too small */
	struct profile_loss *losses; /* every cause, those that only blur stacks too */
	size_t loss_count;

	uint64_t pid, start_ns, end_ns, start_wall_ns;
	const char *comm, *cmdline;

	void *memory; /* private to profile.c */
};

const char *profile_metric_name(enum profile_metric metric);
const char *profile_metric_unit(enum profile_metric metric); /* "bytes", "allocations", "samples" */
const char *profile_metric_text(enum profile_metric metric);
/* Was a metric of time recorded? 0, or -ENODATA with its sentence. */
int profile_check_time(const struct model *m, enum profile_metric metric, struct err *err) MUST_USE;
/* profile_metric_text() of its metric; for METRIC_LEAKED what was found out: leaked, or only not freed. */
const char *profile_text(const struct profile *p);
/* -EINVAL with a sentence that lists the names. */
int profile_metric_parse(const char *text, enum profile_metric *ret_metric, struct err *err) MUST_USE;

/* Stacks of equal frames (and thread) are one. 0 or -errno (-ENODATA: the snapshot has nothing of that metric, and the
 * sentence says which option records it). The caller frees *ret_profile with profile_free(). */
int profile_build(const struct model *model, struct symbolizer *symbols, enum profile_metric metric,
                  struct profile **ret_profile, struct err *err) MUST_USE;
/* The same, for who looks at few of its stacks' frames, or at the paths: of a million stacks the frames are most of the work. */
int profile_build_tree(const struct model *model, struct symbolizer *symbols, enum profile_metric metric,
                       struct profile **ret_profile, struct err *err) MUST_USE;
/* The first `count` stacks have their frames from now on. 0 or -ENOMEM. */
int profile_frames(struct profile *p, size_t count) MUST_USE;
void profile_free(struct profile *p);

/* What the parts of merge.c share. Private to them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "intern.h"
#include "merge.h"
#include "model.h"
#include "model_map.h"

/* ---- tables ---- */

/* Rows by key, at most `limit` of them. Row i is of key i. */
struct merge_table {
	struct intern keys;
	uint8_t *rows;
	size_t row_bytes, cap, limit;
};
#define MERGE_FULL (-ENOSPC)

/* The key's row; a new one is all 0, and is not made where fewer than `reserve` more would fit. NULL: *ret_rc says -ENOMEM or
 * MERGE_FULL. */
void *merge_table_row(struct merge_table *t, const void *key, size_t bytes, size_t reserve, int *ret_rc);
void *merge_table_at(const struct merge_table *t, size_t i);

/* A growing array. */
struct merge_list {
	uint8_t *items;
	size_t count, cap, item_bytes;
};
/* A new item, all 0; NULL when memory runs out. */
void *merge_list_add(struct merge_list *l);

/* Distinct words, the first few of them. */
enum { MERGE_WORDS = 6 };
struct merge_words {
	const char *items[MERGE_WORDS];
	size_t count;
	bool more;
};

/* ---- what is gathered ---- */

#define MERGE_LOSSES(X)                                                                                      \
	X(STACKS, "merge.stacks")       /* stacks cut off for want of room */                                \
	X(MODULES, "merge.modules")     /* modules for which there was no room */                            \
	X(ADDRESSES, "merge.addresses") /* that mean nothing in another process (generated code, kernels) */ \
	X(THREADS, "merge.threads")     /* told as "(more threads)" */                                       \
	X(ROWS, "merge.rows")           /* told as of an unknown stack */                                    \
	X(SAMPLES, "merge.samples")     /* kept in the sums, without their time */                           \
	X(REQUESTS, "merge.requests")   /* kept in the routes, not one by one */                             \
	X(SPANS, "merge.spans")         /* of requests */                                                    \
	X(ROUTES, "merge.routes")       /* told as _OTHER */                                                 \
	X(MARKS, "merge.marks")                                                                              \
	X(MISUSE, "merge.misuse")                                                                            \
	X(NAMES, "merge.names")         /* options and losses for which there was no room */                 \
	X(SNAPSHOTS, "merge.snapshots") /* whole files that could not be read */

enum merge_loss {
#define MERGE_LOSS_ENUM(id, name) MERGE_LOST_##id,
	MERGE_LOSSES(MERGE_LOSS_ENUM)
#undef MERGE_LOSS_ENUM
	        MERGE_LOSS_COUNT
};

/* Sums that a reader wants within 63 bits. */
enum merge_sum {
	SUM_ALLOC_BYTES,
	SUM_ALLOC,
	SUM_PEAK_BYTES,
	SUM_PEAK,
	SUM_TEMPORARY,
	SUM_SLOP,
	SUM_LIFETIMES,
	SUM_THREAD_BYTES,
	SUM_THREAD_COUNT,
	SUM_CPU,
	SUM_OFFCPU,
	SUM_MMAP,
	SUM_LEAKS,
	SUM_LEAK_BYTES,
	SUM_LEAK_SAMPLES,
	SUM_LEAK_ERROR,
	SUM_MISUSE,
	SUM_ROUTES,
	SUM_DATABASE,
	SUM_COUNT
};

/* Counts of blocks are kept in 65536ths, as sampled recordings write them. */
enum { MERGE_UNIT = 1 << 16 };

struct merge_heap_row {
	uint64_t alloc, freed, peak, temporary; /* MERGE_UNIT */
	uint64_t alloc_bytes, free_bytes, peak_bytes;
	struct model_heap_detail *detail;
};

struct merge_thread {
	uint64_t tid, start_ns, end_ns, cpu_ns;
	uint64_t heap_alloc, heap_live, heap_alloc_bytes, heap_live_bytes; /* MERGE_UNIT */
	const char *name;
	bool alive, heap;
};

struct merge_leak_row {
	uint64_t count, bytes, confirmed, confirmed_bytes, samples, first_ns, last_ns;
	double variance; /* of bytes */
};

/* A route, or a row of DATABASE. */
struct merge_durations {
	uint64_t errors, count, sum_ns, max_ns;
	uint64_t *range; /* SNAP_REQUEST_BUCKETS */
};

struct merge_request {
	struct model_request r; /* method and path are below */
	char method[17], path[65];
};

struct merge_option {
	const char *name;
	struct merge_words values;
	enum snap_option_source source;
};

/* A sum of samples, each of which stands for the same time. */
struct merge_samples {
	uint64_t period_ns;
	struct merge_table rows; /* key: stack, thread; a row: uint64_t */
};

struct merge {
	struct merge_limits limits;
	struct merge_about about;
	struct arena arena;
	struct intern texts;
	uint64_t lost[MERGE_LOSS_COUNT], sum[SUM_COUNT];
	size_t added;
	bool fractions; /* counts of blocks are not whole */
	bool single;    /* only one recording: everything stays as it is */
	bool by_wall;   /* recordings of several boots: times are wall-clock times */
	int64_t to_wall_ns;
	const char *boot;  /* the first one's: that of the kernel's addresses */
	struct model head; /* the fields of INFO and of the sections before their tables, but for words */
	struct merge_words comms, exes, cmdlines, reasons, cpu_engines, cpu_whys, heap_engines, unwind_engines, kernels,
	        machines, versions, offcpu_whys, leak_methods, leak_notes;
	struct merge_table options, losses; /* by name: merge_option; uint64_t */
	/* Space. */
	struct merge_table modules, threads, nodes; /* model_module; merge_thread; model_node */
	uint64_t next_address;
	/* Tables by stack. */
	struct merge_table heap, mmap, leaks,
	        misuse; /* merge_heap_row; {ranges, bytes}; merge_leak_row; model_misuse */
	struct merge_samples cpu, offcpu;
	uint64_t checked;                /* recordings with a leak check */
	struct merge_table suppressions; /* lines */
	/* Windows. model_sample with a wide weight; the same with a request */
	struct merge_list samples, offcpu_samples, marks, requests, spans, database_spans;
	struct merge_table routes, database; /* merge_durations */
	uint64_t next_request;
};

/* A window's sample. */
struct merge_sample {
	uint64_t time_ns, weight, request;
	uint32_t thread, stack;
};

/* A model while it is added. */
struct merge_input {
	struct merge *g;
	const struct model *m;
	struct model_map map;
	uint32_t *node_of, *path;           /* node -> merged id + 1, 0 not asked for; room for a stack's ids */
	uint64_t cpu_factor, offcpu_factor; /* a sample's worth in the merged period */
	uint64_t *shift_of;                 /* module -> what is added to its addresses */
	uint8_t *module_kind;               /* enum merge_module */
	uint32_t *thread_of;
	int64_t time_shift;
	uint64_t request_base;
	bool foreign_kernel;
	int rc; /* the first failure */
};

enum merge_module { MERGE_MODULE_KEPT, MERGE_MODULE_ANY_ADDRESS, MERGE_MODULE_LOST };

/* merge_space.c */
int merge_space_begin(struct merge_input *in);
void merge_space_end(struct merge_input *in);
/* The merged stack's id. Sets in->rc where memory runs out. */
uint32_t merge_space_stack(struct merge_input *in, uint32_t id);
uint64_t merge_space_time(const struct merge_input *in, uint64_t ns); /* 0 stays 0 */
int merge_space_finish(struct merge *g, struct model *m);

/* merge_rows.c */
/* -ERANGE or -EINVAL with a sentence where the model's sums and those so far do not go together. */
int merge_rows_fit(const struct merge *g, const struct model *m, struct err *err);
int merge_rows_add(struct merge_input *in);
int merge_rows_finish(struct merge *g, struct model *m);

/* merge_window.c */
int merge_window_add(struct merge_input *in);
void merge_window_rescale(struct merge_list *samples, uint64_t factor);
int merge_window_finish(struct merge *g, struct model *m);

/* merge_requests.c */
/* False: the numbers of requests would be more than 63 bits. */
bool merge_requests_fit(const struct merge *g, const struct model *m);
/* The merged number of a request of the model's; 0 stays 0. */
uint64_t merge_requests_id(struct merge_input *in, uint64_t id);
int merge_requests_add(struct merge_input *in);
int merge_requests_finish(struct merge *g, struct model *m);

/* merge_about.c */
const char *merge_about_text(struct merge *g, const char *text);
int merge_about_add(struct merge_input *in);
int merge_about_finish(struct merge *g, uint64_t unreadable, struct model *m);
/* All times so far, moved. */
void merge_shift_times(struct merge *g, int64_t by);

static inline uint64_t merge_saturated(uint64_t a, uint64_t b)
{
	return a > INT64_MAX - (b > INT64_MAX ? INT64_MAX : b) ? INT64_MAX : a + b;
}
uint64_t merge_units(double count);
double merge_count(uint64_t units);
uint64_t merge_moved(uint64_t ns, int64_t by);

/* A snapshot in memory: validated, immutable after snapshot_read(). Times, addresses and counts are the file's
 * (docs/snapshot-format.md); nothing here knows symbols.
 * Ownership  the model owns everything its pointers lead to; model_free() frees it.
 * Context    hosted programs, any thread (read-only). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "snapshot_layout.h"

struct model_option {
	const char *name, *value; /* name without the PERFPROBE_ prefix */
	enum snap_option_source source;
};

struct model_loss {
	const char *name; /* "cpu.dropped" */
	uint64_t count;
};

struct model_module {
	uint64_t start, end, bias;   /* run-time address = file address + bias; end exclusive */
	uint64_t load_ns, unload_ns; /* unload 0: still loaded */
	uint32_t flags;              /* enum snap_module_flags */
	const char *path;            /* bytes as recorded; "[vdso]", "[anon]" */
	uint8_t build_id[SNAP_MAX_BUILD_ID];
	uint32_t build_id_bytes; /* 0: none */
};

struct model_thread {
	uint64_t tid; /* 0: "(more threads)", the shared record */
	const char *name;
	uint64_t start_ns, end_ns, cpu_ns; /* end 0: alive at the end */
};

/* Node i of the tree stands at nodes[i - 1]; ids run from 1, id 0 is the empty stack. */
struct model_node {
	uint32_t parent; /* smaller id, or 0 */
	uint64_t pc;     /* inside the executing instruction, or below SNAP_PC_SPECIAL_END: enum snap_special_pc */
};

/* Of the blocks that were followed, each for those it stands for. */
struct model_heap_detail {
	uint64_t largest;                /* bytes asked for by one allocation; 0: unknown */
	uint64_t slop_bytes;             /* usable minus asked, of live blocks */
	double lifetime[SNAP_LIFETIMES]; /* freed blocks by how long they lived; ranges: snapshot_layout.h */
};

/* Estimates in sampled mode, exact in full mode. Counts may be fractions there. */
struct model_heap_row {
	uint32_t stack;
	double alloc_count, free_count, peak_count, temporary_count;
	uint64_t alloc_bytes, free_bytes, peak_bytes;
	const struct model_heap_detail *detail; /* NULL: none was recorded */
};

/* live: estimates where not every block was followed. */
struct model_heap_thread {
	uint32_t thread; /* index into threads */
	double alloc_count, live_count;
	uint64_t alloc_bytes, live_bytes;
};

struct model_cpu_row {
	uint32_t stack, thread; /* thread: index into threads */
	uint64_t samples;
};

struct model_sample {
	uint64_t time_ns;
	uint32_t thread, stack, weight;
};

/* A thread waited. */
struct model_offcpu_sample {
	uint64_t time_ns;
	uint32_t thread, stack, weight;
	uint64_t request; /* that it worked on; 0: none is known */
};

/* Threads that waited, by stack. `scope`: whose were looked at; with SNAP_OFFCPU_ALL they are the rest of wall-clock time. */
struct model_offcpu {
	enum snap_offcpu_scope scope;
	uint64_t period_ns;
	const char *why;                     /* there are none; "": no reason */
	struct model_cpu_row *rows;          /* sorted by stack, then thread */
	struct model_offcpu_sample *samples; /* sorted by time */
	size_t row_count, sample_count;
};

/* Stacks 0: none, or unknown. `count` is what was seen: of the samples, in sampled mode. */
struct model_misuse {
	enum snap_misuse kind;
	enum snap_family allocated_by, freed_by;
	enum snap_no_block no_block;
	uint32_t thread, allocated, first_freed, freed;
	uint64_t count, address, bytes, time_ns;
};

struct model_mark {
	uint64_t time_ns;
	uint32_t thread;
	const char *name;
};

/* Unreachable blocks of one stack, kind and owner. Estimates of a lower bound where leaks.sampled. */
struct model_leak {
	uint32_t stack;
	enum snap_leak_kind kind;
	uint32_t owner; /* indirect: the stack of the direct leak that holds it; 0 for a direct one */
	double count, confirmed_count;
	uint64_t bytes, confirmed_bytes;
	uint64_t samples;           /* blocks that were seen */
	uint64_t first_ns, last_ns; /* when the oldest and the newest were allocated */
	uint64_t error_bytes;       /* standard error of bytes; 0 unless sampled */
};

/* The program's last check for unreachable blocks. */
struct model_leaks {
	bool recorded; /* a check was made, or tried; else all else here is 0 or "" */
	bool done;     /* it came to an end; else `note` says why not, and there are no rows */
	bool sampled;  /* only sampled blocks are known */
	const char *method, *note;
	uint64_t checks, time_ns, pause_ns, check_ns, cpu_ns, memory_bytes, threads, threads_missed;
	uint64_t blocks, block_bytes, root_bytes, unread_bytes;
	const char *suppressions; /* lines in the syntax of LeakSanitizer's files */
	struct model_leak *rows;  /* sorted by stack, kind, owner */
	size_t count;
};

struct model_bucket {
	uint32_t bucket; /* range of durations: snapshot_layout.h */
	uint64_t count;
};

struct model_route {
	const char *method, *route;
	uint32_t status;
	uint64_t count, sum_ns, max_ns;
	struct model_bucket *buckets; /* sorted; their counts add up to count */
	size_t bucket_count;
};

struct model_request {
	uint64_t id, start_ns, first_ns, end_ns; /* first byte sent, last byte sent; 0: not yet */
	uint64_t bytes_in, bytes_out;
	uint32_t thread_start, thread_end, status;
	const char *method, *path;
};

/* The thread worked on the request, and a CPU sample fell there. */
struct model_request_span {
	uint64_t from_ns, to_ns, request;
	uint32_t thread;
	bool shared; /* other connections waited for the thread too */
};

struct model_requests {
	bool recorded;
	uint64_t count, slow, unanswered, latency_ns; /* slow: of count, those above latency_ns */
	struct model_route *routes;
	struct model_request *requests;   /* sorted by id */
	struct model_request_span *spans; /* sorted by from_ns */
	size_t route_count, request_count, span_count;
};

/* Durations, counted in ranges: snapshot_layout.h. */
struct model_times {
	uint64_t most_ns;
	uint64_t range[SNAP_SAMPLER_RANGES];
};

/* Database calls of one operation on one table. */
struct model_database_row {
	const char *system, *operation, *table; /* table "": none */
	uint64_t errors;                        /* of count */
	uint64_t count, sum_ns, max_ns;
	struct model_bucket *buckets; /* sorted; their counts add up to count */
	size_t bucket_count;
};

/* One call, made for a request. */
struct model_database_span {
	uint64_t start_ns, ns, request;
	uint32_t thread, row; /* row: its index */
	bool failed, unfinished;
};

struct model_database {
	bool recorded;
	struct model_database_row *rows;
	struct model_database_span *spans; /* sorted by start_ns */
	size_t row_count, span_count;
};

/* What the process had used by then (CPU time, answered requests) and had. live_bytes: an estimate in sampled mode; 0 without a heap. */
struct model_series_point {
	uint64_t time_ns, cpu_ns, resident_bytes, live_bytes, requests;
};

struct model_series {
	uint64_t interval_ns;
	struct model_series_point *points; /* sorted by time */
	size_t count;
};

struct model {
	uint16_t major, minor;
	uint64_t pid, ppid, sequence;
	const char *comm, *exe, *reason;
	const char *because; /* what called for it, in words; "": nothing, or not recorded */
	const char *cmdline; /* arguments separated by single blanks */
	uint64_t start_ns, start_wall_ns, end_ns, end_wall_ns, process_cpu_ns;
	uint64_t cpu_hz, cpu_period_ns;
	struct model_times handler, late; /* what sampling took; by how much it missed its period. Since 1.6 */
	bool clock_is_wall;
	const char *engine_cpu, *engine_cpu_why, *engine_heap, *engine_unwind;
	uint64_t page_bytes, cpus;
	const char *kernel, *machine, *recorder_version;
	const char *boot; /* which run of the kernel it was; "": not recorded */

	enum snap_heap_mode heap_mode;
	uint64_t heap_interval_bytes; /* 0 in full mode */
	uint64_t heap_peak_bytes, heap_peak_ns;
	uint64_t heap_count_scale;   /* the file's unit of counts */
	uint64_t heap_detail_one_in; /* of a stack's later blocks one in so many was followed; 1 all, 0 none */

	struct model_option *options;
	struct model_loss *losses;
	struct model_module *modules;
	struct model_thread *threads;
	struct model_node *nodes;
	struct model_heap_row *heap;            /* sorted by stack */
	struct model_cpu_row *cpu;              /* sorted by stack, then thread */
	struct model_sample *samples;           /* sorted by time; contained in cpu */
	struct model_misuse *misuse;            /* in the order of their first times */
	struct model_heap_thread *heap_threads; /* sorted by thread */
	size_t misuse_count, heap_thread_count;
	struct model_mark *marks; /* sorted by time */
	size_t mark_count;
	bool mmap_recorded;
	uint64_t mmap_bytes, munmap_bytes, mmap_peak_bytes, mmap_peak_ns;
	struct model_heap_row
	        *mmap; /* sorted by stack; what is mapped stands in alloc_count (ranges) and alloc_bytes */
	size_t mmap_count;
	struct model_leaks leaks;
	struct model_requests requests;
	struct model_offcpu offcpu;
	struct model_database database;
	struct model_series series;
	size_t option_count, loss_count, module_count, thread_count, node_count, heap_count, cpu_count, sample_count;

	void *memory; /* private to model.c */
};

void model_free(struct model *m);
/* Asserts every invariant named above; for tests and fuzzing. */
void model_check(const struct model *m);

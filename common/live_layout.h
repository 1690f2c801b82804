/* Bytes of a .live file: the recording of a running process, mapped by it and readable from outside at any time.
 * Normative: docs/live-format.md. Written by preload/live.c and by the tables that live in it; read by analyzer/live_read.c.
 *
 * A header, then chunks in any order at page-aligned offsets. The writer may be killed between any two stores: a reader
 * believes nothing that it has not tested. Same machine only: byte order and sizes are the recorder's. */
#pragma once
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "snapshot_layout.h"

#define LIVE_MAGIC "\x89PPLIVE\n"
enum { LIVE_MAGIC_BYTES = 8, LIVE_VERSION = 1, LIVE_MINOR = 2, LIVE_CHUNKS = 8192 };

/* What a chunk holds. Never renumber. */
enum live_kind {
	LIVE_FREE = 0,     /* the slot is not in use */
	LIVE_FRAME = 1,    /* a snapshot (docs/snapshot-format.md) of what is in no table; since 1.2 with the heads of
	                      REQUESTS, OFFCPU and DATABASE */
	LIVE_NODES = 2,    /* struct live_node[]; `owner` is the number of the segment */
	LIVE_COUNTERS = 3, /* struct live_counters; `owner` is the thread's index in THREADS, or LIVE_ENDED */
	LIVE_RING = 4,     /* struct live_sample[], in no order; time 0 = never written */
	LIVE_MISUSE = 5,   /* struct live_misuse[], in the order of their first times; since 1.1 */
	LIVE_THREADS = 6,  /* struct live_thread[], by the thread's index in THREADS */
	/* since 1.2 */
	LIVE_REQUESTS = 7,        /* struct live_requests, and its tables */
	LIVE_WORK = 8,            /* struct live_head, then struct live_work[], a row for each thread; several chunks */
	LIVE_OFFCPU = 9,          /* struct live_head, then struct live_offcpu[] */
	LIVE_OFFCPU_SAMPLES = 10, /* struct live_head, then struct live_offcpu_sample[], in no order */
	LIVE_DATABASE = 11,       /* struct live_database, and its tables */
};
#define LIVE_ENDED UINT32_MAX /* counters of threads that have ended */

struct live_chunk {
	uint64_t offset, bytes; /* in the file */
	uint32_t kind;          /* enum live_kind; written last when a slot is taken, first when it is given back */
	uint32_t owner;
	uint64_t serial; /* of chunks with one kind and owner the active one with the highest counts */
	uint32_t active; /* its content is complete enough to be counted */
	uint32_t unused;
};
static_assert(sizeof(struct live_chunk) == 40, "on-disk layout");

struct live_header {
	uint8_t magic[LIVE_MAGIC_BYTES]; /* written last */
	uint32_t version;
	uint32_t chunk_bytes; /* sizeof(struct live_chunk) */
	uint32_t node_bytes;  /* of the structures in chunks: a reader steps by these */
	uint32_t counter_bytes;
	uint32_t sample_bytes;
	uint32_t segment_nodes; /* nodes in each chunk of kind LIVE_NODES */
	uint32_t heap_mode;     /* enum snap_heap_mode */
	uint32_t count_scale;   /* counts are in 1/count_scale */
	uint64_t heap_interval;
	uint64_t missing; /* tables that are not in the file because it could not grow */
	/* Moved on about ten times a second. */
	uint64_t end_ns, end_wall_ns, cpu_ns;
	uint64_t peak_bytes, peak_ns;
	uint32_t epoch; /* newest of counters */
	uint32_t minor; /* LIVE_MINOR: a reader reads any */
	uint32_t misuse_bytes;
	uint32_t heap_detail;  /* docs/snapshot-format.md, HEAP_DETAIL: one_in */
	uint32_t detail_bytes; /* sizeof(struct live_detail); 0: there are none */
	uint32_t reserved[11];
	struct live_chunk chunk[LIVE_CHUNKS];
};
static_assert(offsetof(struct live_header, chunk) == 160, "on-disk layout");

/* Node i of segment s has the id s * segment_nodes + i; id 0 is not used. pc 0: not written yet, and none after it is. */
struct live_node {
	uint32_t parent;
	uint32_t unused;
	uint64_t pc;
};
static_assert(sizeof(struct live_node) == 16, "on-disk layout");

/* Key: 0 = free slot; else stack id + 1 in the low 32 bits, and above them a thread's index for rows of ended threads. */
struct live_counter {
	uint64_t key;
	uint32_t epoch;  /* of peak_*: live at the start of this epoch; older than the newest: live then is live now */
	uint32_t detail; /* its place among the details behind the slots, from 0 */
	uint64_t alloc_count, alloc_bytes, free_count, free_bytes, temporary_count;
	int64_t peak_count, peak_bytes;
	uint64_t cpu_samples;
	uint64_t largest; /* bytes asked for by one allocation */
};

/* slots follow at offset 16, and half as many details (struct live_detail) behind them. */
struct live_counters {
	uint32_t mask; /* slots - 1 */
	uint32_t used;
	uint64_t unused;
};
static_assert(sizeof(struct live_counters) == 16, "on-disk layout");

/* Of the blocks that were looked at, each for those it stands for. Lifetimes: docs/snapshot-format.md, HEAP_DETAIL. */
struct live_detail {
	int64_t slop_bytes; /* usable minus asked, of live blocks; a thread's part may be negative */
	uint64_t lifetime[SNAP_LIFETIMES];
};

struct live_thread {
	uint64_t ended_count, ended_bytes; /* allocated, by threads of this index that have ended */
	int64_t live_count, live_bytes;    /* allocated by this thread and still alive; estimates as in live_detail */
};

struct live_sample {
	uint64_t time_ns;
	uint32_t stack;
	uint16_t thread, weight;
};
static_assert(sizeof(struct live_sample) == 16, "on-disk layout");

/* As in the section MISUSE (snapshot_layout.h); the first row whose count is 0 ends the table. */
struct live_misuse {
	uint64_t count; /* written last */
	uint32_t kind, allocated_by, freed_by, no_block;
	uint32_t allocated, first_freed, freed; /* stacks */
	uint32_t thread;
	uint64_t address, bytes, time_ns;
};
static_assert(sizeof(struct live_misuse) == 64, "on-disk layout");

/* ---- since 1.2: requests, threads that wait, database calls --------------------------------------------------------
 *
 * Sealed rows begin and end with the same number (`number`, `again`): 0 is none, LIVE_WRITING one that is being written. The writer
 * stores WRITING to `number`, then `again`, the rest, and `number` last: a reader who goes through a row in the order of its
 * addresses sees two numbers where it was written meanwhile. What is told by a number of a stack, thread or row is 0 where none is
 * known. */
#define LIVE_WRITING UINT64_MAX

/* A table in a chunk: a reader steps by row_bytes. */
struct live_table {
	uint32_t offset; /* in the chunk */
	uint32_t row_bytes, rows;
	uint32_t unused;
};

/* Before the only table of a chunk. */
struct live_head {
	struct live_table table;
	uint32_t scope; /* of kinds 9 and 10: enum snap_offcpu_scope */
	uint32_t unused_word;
	uint64_t period_ns; /* ... what a sample stands for */
	uint64_t unused[4];
};
static_assert(sizeof(struct live_head) == 64, "on-disk layout");

enum {
	LIVE_NAMES = 64,
	LIVE_NAME_BYTES = 24,
	LIVE_PATH_BYTES = 64,
	LIVE_ROUTE_BYTES = 80,
	LIVE_DATABASE_TABLE_BYTES = 64
};

/* The first three as in REQUESTS. Never renumber. */
enum live_request_total {
	LIVE_ANSWERED,
	LIVE_SLOW,
	LIVE_UNANSWERED,
	LIVE_UNTIMED, /* answered, and in no route */
	LIVE_REQUEST_TOTALS
};

struct live_requests {
	uint64_t total[LIVE_REQUEST_TOTALS];
	struct live_table open, answered, slowest, sampled; /* struct live_request[] */
	struct live_table spans, routes;
	char methods[LIVE_NAMES][LIVE_NAME_BYTES]; /* the names of live_request.method; zeros behind */
};

/* Sealed by its id among those under way, which change in place: `method` is set when the path is there. 0: not known yet. */
struct live_request {
	uint64_t number;
	uint64_t id, start_ns, first_ns, end_ns; /* first and last byte sent; 0: not yet */
	uint64_t bytes_in, bytes_out;
	uint16_t thread_start, thread_end, status;
	uint8_t method, path_bytes;
	char path[LIVE_PATH_BYTES];
	uint64_t again;
};
static_assert(sizeof(struct live_request) == 136, "on-disk layout");

/* Sealed. */
struct live_request_span {
	uint64_t number;
	uint64_t from_ns, to_ns, request;
	uint32_t thread, shared;
	uint64_t again;
};
static_assert(sizeof(struct live_request_span) == 48, "on-disk layout");

enum { LIVE_BOUNDS = 17 };
struct live_durations {
	uint64_t sum_ns, max_ns;
	uint64_t bounded[LIVE_BOUNDS]; /* for the recorder's metrics */
	uint32_t range[SNAP_REQUEST_BUCKETS];
};

struct live_route {
	uint64_t key;
	uint32_t ready; /* 0: not there yet; 1: it is, for good */
	uint16_t status;
	uint8_t method, unused;
	char route[LIVE_ROUTE_BYTES];
	struct live_durations took;
};

/* What a thread works on now. Both parts are sealed: the request by its id, and the database call by the time when it began. */
struct live_work {
	uint64_t request, since_ns;
	uint32_t shared, thread;
	uint64_t request_again;
	uint64_t call_since_ns, call_request;
	uint32_t call_row, call_thread; /* row: its number in the database's table of rows, from 1 */
	uint64_t call_again;
};
static_assert(sizeof(struct live_work) == 64, "on-disk layout");

/* Key: stack << 32 | thread; 0: free. */
struct live_offcpu {
	uint64_t key, samples;
};

/* Sealed by its time. */
struct live_offcpu_sample {
	uint64_t time_ns;
	uint32_t stack;
	uint16_t thread, weight;
	uint64_t request, again;
};
static_assert(sizeof(struct live_offcpu_sample) == 32, "on-disk layout");

struct live_database {
	struct live_table rows, spans, calls; /* live_database_row, _span, _call */
	uint64_t unused[2];
	char systems[LIVE_NAMES][LIVE_NAME_BYTES], operations[LIVE_NAMES][LIVE_NAME_BYTES];
};

struct live_database_row {
	uint64_t key;
	uint32_t ready; /* as in live_route */
	uint8_t system, operation;
	char table[LIVE_DATABASE_TABLE_BYTES];
	uint8_t unused[2];
	uint64_t errors;
	struct live_durations took;
};

/* Sealed. Row: from 1. */
struct live_database_span {
	uint64_t number;
	uint64_t start_ns, ns, request;
	uint32_t thread;
	uint16_t row;
	uint8_t failed, unfinished;
	uint64_t again;
};
static_assert(sizeof(struct live_database_span) == 48, "on-disk layout");

/* Under way; sealed. */
struct live_database_call {
	uint64_t number;
	uint64_t start_ns, request;
	uint64_t spent_ns;    /* 0: not made in steps */
	uint64_t step_ns;     /* when the step that is made now began; 0: none is */
	uint32_t thread, row; /* row 0: a call that is not counted */
	uint64_t again;
};
static_assert(sizeof(struct live_database_call) == 56, "on-disk layout");

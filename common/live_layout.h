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
enum { LIVE_MAGIC_BYTES = 8, LIVE_VERSION = 1, LIVE_MINOR = 1, LIVE_CHUNKS = 8192 };

/* What a chunk holds. Never renumber. */
enum live_kind {
	LIVE_FREE = 0,     /* the slot is not in use */
	LIVE_FRAME = 1,    /* a whole snapshot (docs/snapshot-format.md) without STACKS, HEAP, CPU and SAMPLES */
	LIVE_NODES = 2,    /* struct live_node[]; `owner` is the number of the segment */
	LIVE_COUNTERS = 3, /* struct live_counters; `owner` is the thread's index in THREADS, or LIVE_ENDED */
	LIVE_RING = 4,     /* struct live_sample[], in no order; time 0 = never written */
	LIVE_MISUSE = 5,   /* struct live_misuse[], in the order of their first times; since 1.1 */
	LIVE_THREADS = 6,  /* struct live_thread[], by the thread's index in THREADS */
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

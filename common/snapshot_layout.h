/* Bytes of a snapshot file. Normative text: docs/snapshot-format.md.
 *
 *   [header][section index][section 0][section 1] ...      contiguous, nothing between, nothing after
 *
 * Little-endian. Times: ns of CLOCK_MONOTONIC unless a name says wall (CLOCK_REALTIME). Sizes: bytes.
 * A reader refuses a higher major, and skips sections it does not know. Every byte of the file is under a checksum. */
#pragma once
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum { SNAP_MAJOR = 1, SNAP_MINOR = 6 };

/* The first byte is not ASCII and the last two catch text-mode transfers, as PNG does (RFC 2083 section 12.11). */
#define SNAP_MAGIC "\x89PPSNP\r\n"
enum { SNAP_MAGIC_BYTES = 8 };

struct snap_header {
	uint8_t magic[SNAP_MAGIC_BYTES];
	uint16_t major, minor;
	uint32_t header_bytes; /* sizeof when written: a reader skips what it does not know */
	uint32_t section_count;
	uint32_t entry_bytes; /* sizeof(struct snap_section) when written */
	uint64_t file_bytes;  /* size of the whole file */
	uint64_t reserved[3]; /* 0 */
	uint32_t flags;       /* 0 */
	uint32_t head_crc;    /* CRC-32C of header (this field as 0) and section index */
};
static_assert(sizeof(struct snap_header) == 64, "on-disk layout");
static_assert(offsetof(struct snap_header, file_bytes) == 24, "on-disk layout");
static_assert(offsetof(struct snap_header, head_crc) == 60, "on-disk layout");

struct snap_section {
	uint32_t id;           /* enum snap_section_id */
	uint32_t codec;        /* enum snap_codec */
	uint64_t offset;       /* from the start of the file */
	uint64_t stored_bytes; /* in the file */
	uint64_t raw_bytes;    /* after decoding */
	uint32_t crc;          /* CRC-32C of the stored bytes */
	uint32_t reserved;     /* 0 */
};
static_assert(sizeof(struct snap_section) == 40, "on-disk layout");

enum snap_codec { SNAP_CODEC_RAW = 0, SNAP_CODEC_ZSTD = 1 };

/* One table: ids, names for messages. Never renumber. */
#define SNAP_SECTIONS(X)                                                                                               \
	X(1, INFO, "info")                    /* what was recorded, by whom, when, with which engines */               \
	X(2, OPTIONS, "options")              /* every option, its value and where it came from */                     \
	X(3, LOSSES, "losses")                /* everything that was not recorded, counted by cause */                 \
	X(4, MODULES, "modules")              /* loaded objects */                                                     \
	X(5, THREADS, "threads")              /* threads seen */                                                       \
	X(6, STACKS, "stacks")                /* the tree of call stacks */                                            \
	X(7, HEAP, "heap")                    /* per-stack allocation counters */                                      \
	X(8, CPU, "cpu")                      /* per-stack, per-thread CPU sample counts: the whole recording */       \
	X(9, SAMPLES, "samples")              /* the newest CPU samples, each with its time */                         \
	X(10, MISUSE, "misuse")               /* double frees, frees of what is no block, wrong families; since 1.1 */ \
	X(11, HEAP_DETAIL, "heap detail")     /* per-stack lifetimes, slop, largest block; since 1.2 */                \
	X(12, HEAP_THREADS, "heap by thread") /* who allocated, and what of it is alive; since 1.2 */                  \
	X(13, MARKS, "marks")                 /* points in time that the program named; since 1.3 */                   \
	X(14, MMAP, "mmap")                   /* memory that the program mapped by itself, by stack; since 1.3 */      \
	X(15, LEAKS, "leaks")                 /* what nobody could reach when it was checked; since 1.4 */             \
	X(16, REQUESTS, "requests")           /* HTTP requests: by route, the newest and slowest; since 1.5 */         \
	X(17, OFFCPU, "off-CPU samples")      /* of threads that waited, by stack and the newest; since 1.6 */         \
	X(18, DATABASE, "database")           /* database calls: by operation and table, of requests; since 1.6 */     \
	X(20, SERIES, "series")               /* CPU time, memory and requests over time; since 1.6 */

enum snap_section_id {
#define SNAP_SECTION_ENUM(id, name, text) SNAP_##name = (id),
	SNAP_SECTIONS(SNAP_SECTION_ENUM)
#undef SNAP_SECTION_ENUM
};

/* Program counters from here on are the kernel's. */
#define SNAP_PC_KERNEL (UINT64_C(1) << 63)

/* Program counters below SNAP_PC_SPECIAL_END are not addresses but say what stands in their place. */
enum snap_special_pc {
	SNAP_PC_NONE = 0,      /* never stored */
	SNAP_PC_TRUNCATED = 1, /* root of a stack whose outer frames were not seen */
	SNAP_PC_LOST = 2,      /* the stack could not be taken or stored */
	SNAP_PC_RECORDER = 3,  /* the sample fell into perfprobe itself */
	SNAP_PC_ELIDED = 4,    /* frames in the middle of a very deep stack were left out here */
	SNAP_PC_SPECIAL_END = 4096
};

enum snap_module_flags { SNAP_MODULE_MAIN = 1, SNAP_MODULE_VDSO = 2, SNAP_MODULE_ANON = 4 };
enum snap_heap_mode { SNAP_HEAP_OFF = 0, SNAP_HEAP_SAMPLED = 1, SNAP_HEAP_FULL = 2 };
enum snap_option_source { SNAP_OPTION_DEFAULT = 0, SNAP_OPTION_ENVIRONMENT = 1, SNAP_OPTION_RUNTIME = 2 };

/* Which functions a block belongs to: what it was made with, and what may free it. Never renumber; at most 16.
 * X(value, NAME, allocated by, freed by) */
#define SNAP_FAMILIES(X)                                             \
	X(0, MALLOC, "malloc", "free")                               \
	X(1, NEW, "new", "delete")                                   \
	X(2, NEW_ARRAY, "new[]", "delete[]")                         \
	X(3, NEW_ALIGNED, "aligned new", "aligned delete")           \
	X(4, NEW_ARRAY_ALIGNED, "aligned new[]", "aligned delete[]") \
	X(5, POOL, "a pool", "a pool")                               \
	X(6, REALLOC, "realloc", "realloc") /* of the family malloc: told apart for what it frees */

enum snap_family {
#define SNAP_FAMILY_ENUM(value, name, alloc, freed) SNAP_FAMILY_##name = (value),
	SNAP_FAMILIES(SNAP_FAMILY_ENUM)
#undef SNAP_FAMILY_ENUM
	        SNAP_FAMILY_COUNT
};

enum snap_misuse {
	SNAP_MISUSE_MISMATCH = 0,    /* freed by another family than it was made with */
	SNAP_MISUSE_DOUBLE_FREE = 1, /* freed twice */
	SNAP_MISUSE_NO_BLOCK = 2,    /* freed, and no block: enum snap_no_block says what */
	SNAP_MISUSE_COUNT
};

enum snap_no_block {
	SNAP_NO_BLOCK_UNKNOWN =
	        0,                /* no live block, in a recording that knows all: never allocated, or freed long ago */
	SNAP_NO_BLOCK_STACK = 1,  /* on the stack of the thread */
	SNAP_NO_BLOCK_STATIC = 2, /* in a loaded object */
	SNAP_NO_BLOCK_INSIDE = 3, /* behind the first byte of a live block */
	SNAP_NO_BLOCK_UNMAPPED = 4, /* no memory at all */
	SNAP_NO_BLOCK_COUNT
};

/* Lifetimes of freed blocks are counted in ranges: [0] below SNAP_LIFETIME_NS, each next one up to four times as long, the
 * last without an end. */
enum { SNAP_LIFETIMES = 20, SNAP_LIFETIME_NS = 1 << 10 };

/* What a row of LEAKS is: no other unreachable block points to it, or one does. */
enum snap_leak_kind { SNAP_LEAK_DIRECT = 0, SNAP_LEAK_INDIRECT = 1, SNAP_LEAK_KIND_COUNT };
enum { SNAP_LEAK_MAX_CHECKS = 2 };

/* Durations of requests and of database calls are counted in ranges: i below 64 is i ns; others begin at (32 + i % 32) << (i / 32 - 1) ns, and are a
 * 32th of that wide. The last has no end. */
enum { SNAP_REQUEST_BUCKETS = 1280 };

/* Whose threads were looked at while they waited: nobody's; those that worked on slow requests; all. */
enum snap_offcpu_scope { SNAP_OFFCPU_NONE = 0, SNAP_OFFCPU_REQUESTS = 1, SNAP_OFFCPU_ALL = 2 };

/* How long sampling took, and by how much it missed its time, is counted in ranges: 0 below 128 ns; others begin at
 * (4 + (i - 1) % 4) << ((i - 1) / 4 + 5) ns, a quarter of a power of two wide. The last has no end. */
enum { SNAP_SAMPLER_RANGES = 64 };
/* Of a database call: it failed; it was under way when the snapshot was written. */
enum snap_database_flags { SNAP_DATABASE_FAILED = 1, SNAP_DATABASE_UNFINISHED = 2 };

/* Limits a reader enforces before it believes a size. */
enum {
	SNAP_MAX_SECTIONS = 64,
	SNAP_MAX_STRING = 1 << 16,
	SNAP_MAX_BUILD_ID = 64,
};
#define SNAP_MAX_RAW_BYTES (UINT64_C(4) << 30)
#define SNAP_MAX_STACKS    (UINT32_C(1) << 28) /* node ids fit 28 bits in the recorder's tables */

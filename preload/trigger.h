/* When has the process's memory grown so far, or so fast, that a profile is due? Pure: no calls of the kernel.
 * Context    [helper]; for tests anywhere. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TRIGGER_SECONDS = 60,
	TRIGGER_PRESSURE_SECONDS = 10,
	TRIGGER_PRESSURE_LOOKS = TRIGGER_PRESSURE_SECONDS + 1
}; /* over which growth, and pressure, are looked at */

enum trigger_kind { TRIGGER_MEMORY, TRIGGER_GROWTH, TRIGGER_LATENCY, TRIGGER_PRESSURE, TRIGGER_KINDS };

struct trigger_rules {
	uint64_t memory_bytes;   /* 0: off */
	uint64_t growth_per_min; /* bytes; 0: off */
	uint64_t cooldown_ns;
};

struct trigger {
	uint64_t began_ns; /* 0: nothing was seen yet */
	/* The bytes at the end of each of the last seconds; `seconds` of them were ever noted. */
	uint64_t second[TRIGGER_SECONDS];
	uint64_t seconds;
	uint64_t stalled_us[TRIGGER_PRESSURE_LOOKS], stalled_at_ns[TRIGGER_PRESSURE_LOOKS], stalls; /* likewise */
	uint64_t tripped_ns[TRIGGER_KINDS], worst[TRIGGER_KINDS]; /* 0: never; how bad it was then */
};

/* The process has so many bytes now. True: *ret_kind has tripped, *ret_bad says how badly (bytes, or bytes a minute).
 * Memory trips when the bytes are above the limit, and after a cooldown again only when they are a sixteenth above what they
 * were, or were below the limit meanwhile. Growth is what the bytes rose in the last minute, or since the first ten seconds:
 * programs begin by growing. */
bool trigger_see(struct trigger *t, const struct trigger_rules *rules, uint64_t now_ns, uint64_t bytes,
                 enum trigger_kind *ret_kind, uint64_t *ret_bad);
/* Tasks have waited for memory for so long since the machine or the control group began. True: they did for `percent` of the last ten
 * seconds or more; *ret_bad says for how much. Of the rules the cooldown counts. To be called once a second. */
bool trigger_see_pressure(struct trigger *t, const struct trigger_rules *rules, uint64_t percent, uint64_t now_ns,
                          uint64_t stalled_us, uint64_t *ret_bad);
/* "memory", "growth", "latency": as in a profile's name. */
const char *trigger_name(enum trigger_kind kind);

/* The profiles that a kind has written, of which the worst are kept. */
enum { TRIGGER_KEPT_MAX = 256, TRIGGER_PATH_BYTES = 256 };
struct trigger_kept {
	uint64_t bad[TRIGGER_KEPT_MAX];
	uint64_t bytes[TRIGGER_KEPT_MAX];
	char path[TRIGGER_KEPT_MAX][TRIGGER_PATH_BYTES];
	uint32_t count;
};
/* One more, of so many bytes. A path that is too long is not known, and so never deleted. */
void trigger_keep(struct trigger_kept *k, uint64_t bad, uint64_t bytes, const char *path);
/* True: there are more than `most` (1 to TRIGGER_KEPT_MAX - 1); the least bad of them, of those that are as bad the oldest, is
 * known no longer, and its path is in *ret_path, of TRIGGER_PATH_BYTES. To be asked after each trigger_keep() until it is false. */
bool trigger_too_many(struct trigger_kept *k, uint64_t most, char *ret_path);
/* The same, where those of all kinds together, of which there are more than one, have more than `most` bytes; of the kind with the
 * most bytes, and never the one of `newest`, which was written last. */
bool trigger_too_large(struct trigger_kept k[TRIGGER_KINDS], enum trigger_kind newest, uint64_t most, char *ret_path);

/* The PERFPROBE_* variables, parsed once from options.def before the first hook is armed; after that only config_set() changes
 * them, in the helper, with the right to write profiles held (dump.h): who reads the text of an option holds it too, or is
 * the helper. A bad value keeps the default and says so; an unknown PERFPROBE_* name is reported. Nothing here stops the host. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "snapshot_layout.h"

enum config_clock { CLOCK_CPU, CLOCK_WALL };
enum config_heap { HEAP_SAMPLED, HEAP_FULL, HEAP_OFF };
enum config_leaks { LEAKS_OFF, LEAKS_EXIT };
enum config_follow { FOLLOW_NONE = 0, FOLLOW_FORK = 1, FOLLOW_EXEC = 2, FOLLOW_BOTH = 3 };
enum config_unwind { UNWIND_AUTO, UNWIND_CFI, UNWIND_FP, UNWIND_LIBUNWIND };

enum config_index {
#define OPTION(NAME, field, kind, def, value, state, help) CONFIG_##NAME,
#include "options.def"
#undef OPTION
	CONFIG_COUNT
};

struct config {
	/* One u64 per option; choices hold their enum, switches 0 or 1, limits and rates bytes (or a percentage, below). */
#define OPTION(NAME, field, kind, def, value, state, help) uint64_t field;
#include "options.def"
#undef OPTION
	bool memory_is_percent;
	/* As given, for the snapshot and for PATH and WORD options; at most PATH_MAX - 1 bytes, cut values are refused. */
	const char *text[CONFIG_COUNT];
	enum snap_option_source source[CONFIG_COUNT];
};

/* Name without prefix, by index. */
const char *config_name(enum config_index index);
/* The option of that name, without prefix; CONFIG_COUNT: there is none. */
enum config_index config_find(const char *name, size_t name_len);
/* Changes an option that may change while the program runs; its source is then SNAP_OPTION_RUNTIME. 0, or -EINVAL with a
 * sentence in `why` and nothing changed. */
int config_set(struct config *c, enum config_index index, const char *text, char *why, size_t why_size);
/* How many times that was done. */
uint32_t config_changes(void);
/* Reads the environment `env` (NULL-terminated NAME=VALUE); says what is wrong. The text pointers stay into `env`. [init] */
void config_parse(struct config *ret_config, char **env);
/* The longest first prefix of what the user must be told, for tests: number of complaints of the last parse. */
unsigned config_complaints(void);

/* Profiles that the process's memory calls for: PERFPROBE_MEMORY, PERFPROBE_GROWTH, with PERFPROBE_COOLDOWN and PERFPROBE_KEEP.
 * What is compared is the larger of the live heap and the resident size.
 * Context    [helper]
 * Errors     what cannot be measured is said once; a profile that is not written is counted (dump.h). */
#pragma once
#include <stdint.h>
#include "config.h"

/* Looks; writes a profile and deletes one that is too many. To be called at least ten times a second. */
void triggers_tick(const struct config *config, uint64_t now_ns);
/* In a forked child, whose memory is its own. */
void triggers_fork_child(void);

/* Profiles that the process's state calls for: PERFPROBE_LATENCY, _MEMORY, _GROWTH, _PRESSURE and _SIGNAL, within what
 * PERFPROBE_COOLDOWN, _KEEP and _DISK allow. For memory and growth the larger of the live heap and the resident size is compared.
 * Context    [helper], unless said otherwise.
 * Errors     what cannot be measured is said once; a profile that is not written is counted (dump.h). */
#pragma once
#include <stdint.h>
#include "config.h"

/* Looks; writes profiles and deletes those that are too many. To be called at least ten times a second; returns when, in ns, at the
 * latest. */
uint64_t triggers_tick(const struct config *config, uint64_t now_ns);
/* A profile was asked for by the signal. [any thread, signal handler] */
void triggers_ask(void);
/* In a forked child, whose memory and requests are its own. */
void triggers_fork_child(void);

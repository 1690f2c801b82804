/* The recorder's first step: options and tables, taken by whichever hook runs first, so that allocations made by other
 * libraries before our constructor are recorded too. No libc function that allocates or locks. */
#pragma once
#include <stdbool.h>
#include "config.h"

/* True if the recorder may be used now. [hook; any thread] */
bool start_recorder(void);
/* The options; valid once start_recorder() was called. */
const struct config *start_config(void);
/* For who may change them: config_set() says who. */
struct config *start_config_to_change(void);
/* The window or the latency may have changed: how many samples are kept, which requests are slow. */
void start_set_window(void);
/* Why the recorder is passive, or NULL. */
const char *start_passive_reason(void);

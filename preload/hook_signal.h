/* Signals: what hook_signal.c needs once. */
#pragma once
#include "config.h"

/* Takes over SIGTERM and SIGINT where they would end the program. [init] */
void hook_signal_init(const struct config *config);
/* Gives them back. */
void hook_signal_done(void);

/* Signals: what hook_signal.c needs once. */
#pragma once

/* Takes over SIGTERM and SIGINT where they would end the program. [init] */
void hook_signal_init(void);
/* Gives them back. */
void hook_signal_done(void);

/* What the leak check is told by variables: PERFPROBE_SUPPRESSIONS, LSAN_OPTIONS (suppressions, use_unaligned), and by the program,
 * __lsan_default_suppressions(). Context [helper] unless said otherwise. */
#pragma once
#include "config.h"

void leak_options_init(const struct config *config); /* [init] */
/* Reads the files again. */
void leak_options_read_suppressions(void);
/* Lines in the syntax of LeakSanitizer's suppression files; "". [helper, snapshot] */
const char *leak_options_suppressions(void);
/* Bytes from one word that may be a pointer to the next. [any] */
unsigned leak_options_step(void);

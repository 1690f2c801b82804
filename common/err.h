/* A failure: a negative errno plus one sentence grown from the inside out ("file: section: fact").
 * Library code fills it in; only main() prints it. Context: hosted programs, any thread (the value is the caller's). */
#pragma once
#include "compiler.h"

struct err {
	int code;       /* negative errno; 0 while nothing failed */
	char text[400]; /* NUL-terminated; ends in "..." where it was cut */
};

/* Sets code and text; returns code, so that `return err_set(...)` works. `err` may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);
/* Puts "<prefix>: " before the text; returns the code already there. `err` may be NULL (returns -EIO). */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

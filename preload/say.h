/* One line to the user, on the stderr the program was started with. Bounded, unbuffered, no stdio.
 * Silent when descriptor 2 is no longer the file it was at start (a daemon's socket, say).
 * Context: [any]; not from a vfork child. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Remembers what descriptor 2 is. [init] */
void say_init(void);
/* Writes "perfprobe: ", the parts up to NULL, and a newline. */
void say(const char *part, ...) __attribute__((sentinel));

/* Decimal digits of `value` in `out` (21 bytes are enough); returns `out`. */
char *say_number(char *out, uint64_t value);
/* Puts `text` behind the string in `to`, a buffer of `size` bytes; what finds no room is cut off. */
void say_append(char *to, size_t size, const char *text);
/* The usual words for an errno value, without strerror (which may allocate): "Permission denied". */
const char *say_errno(int code);

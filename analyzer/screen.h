/* A terminal that is written as a whole: its size, its keys, and what it was before. By ECMA-48's and xterm's sequences alone, which
 * every terminal in use knows (ADR 0028). One at a time; main thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"
#include "err.h"

/* Keys above those of ASCII. */
enum screen_key {
	SCREEN_NONE = 0, /* time is up */
	SCREEN_RESIZED = 1000,
	SCREEN_QUIT, /* SIGINT, SIGTERM or SIGHUP, or the terminal is gone */
	SCREEN_UP,
	SCREEN_DOWN,
	SCREEN_PAGE_UP,
	SCREEN_PAGE_DOWN,
	SCREEN_HOME,
	SCREEN_END,
	SCREEN_F1, /* F2 to F10 follow */
	SCREEN_F10 = SCREEN_F1 + 9,
	SCREEN_OTHER,
};

/* Takes the terminal over: another page, no echo, no cursor. */
int screen_begin(struct err *err) MUST_USE;
/* Puts everything back. May be called twice. */
void screen_end(void);
void screen_size(unsigned *ret_columns, unsigned *ret_rows);
/* `text`: lines with '\n' between them; what was there before is overwritten without flicker. -errno where the terminal is gone. */
int screen_show(const struct buf *text) MUST_USE;
/* The next key, or SCREEN_NONE after that time. */
int screen_key(uint64_t timeout_ns);

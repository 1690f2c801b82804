/* Which leaks are known and wanted silent: lines in the syntax of LeakSanitizer's suppression files. Pure.
 *	leak:TEMPLATE     hides leaks with a frame whose module's path, function or source file matches
 *	# ...             nothing; nor do empty lines. Blanks before a line and behind it do not count.
 * Ownership  the table copies what it is given. Context  hosted programs, one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "compiler.h"
#include "err.h"

struct suppression {
	const char *template;
	const char *source; /* where it is from: a file's path, "built in", "the program" */
	uint32_t line;      /* in the source, from 1; 0: built in */
	bool allocating;    /* only the frame that called the allocator is compared */
};

struct suppressions {
	struct suppression *items; /* in the order given: the first that matches a name counts */
	size_t count, cap;
	struct arena texts;
};

#define SUPPRESSION_NONE SIZE_MAX

/* What libc and the loader keep on purpose. 0 or -ENOMEM. */
int suppressions_add_built_in(struct suppressions *s, struct err *err) MUST_USE;
/* Lines of text[0..len). -EINVAL with "SOURCE:LINE: ..." at the first line that is none; with `ret_bad` such lines are
 * counted instead and left out (the sentence of the first stays in `err`). -ENOMEM. */
int suppressions_add(struct suppressions *s, const char *text, size_t len, const char *source, size_t *ret_bad,
                     struct err *err) MUST_USE;
void suppressions_done(struct suppressions *s);

/* Does the template match somewhere in `text`? '*' stands for anything, '^' in front for the beginning, '$' for the end.
 * As LeakSanitizer does it, so nothing matches an empty text, and what is between two '*' is looked for once, from the left:
 * "a$" does not match "aba". */
bool suppression_matches(const char *template, const char *text);
/* The first suppression of a frame's module, else of its function, else of its source file (each may be NULL), among those
 * that compare only the allocating frame (`allocating`) or the others. SUPPRESSION_NONE if there is none. */
size_t suppressions_find(const struct suppressions *s, const char *module, const char *function, const char *file,
                         bool allocating);

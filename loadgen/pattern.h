/* Regular expressions (PCRE2), compiled once, with bounded work: what is too costly for a text does not match it. A match
 * needs memory that is made once a user. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "err.h"
#include "keep.h"

struct pattern;
struct pattern_memory;

enum { PATTERN_GROUPS_MAX = 32 };

struct pattern_match {
	const char *groups[PATTERN_GROUPS_MAX]; /* 0: all of it; NULL: took no part */
	size_t lens[PATTERN_GROUPS_MAX];
	size_t end; /* where the next one may begin */
};

/* `flags`: letters i, m, s, x as in JavaScript and Perl; g, u, y are allowed and mean nothing here. -EINVAL. */
int pattern_compile(struct keep *k, const char *text, const char *flags, const struct pattern **ret_pattern,
                    struct err *err) MUST_USE;
struct pattern_memory *pattern_memory_new(void); /* NULL: no memory */
void pattern_memory_free(struct pattern_memory *memory);
/* The first match at `from` or later. */
bool pattern_find(const struct pattern *p, struct pattern_memory *memory, const char *text, size_t len, size_t from,
                  struct pattern_match *ret_match);
/* Does it match all of the text? */
bool pattern_matches(const struct pattern *p, struct pattern_memory *memory, const char *text, size_t len);

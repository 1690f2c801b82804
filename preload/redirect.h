/* Leads the calls of functions that another library defines to functions of ours.
 * Two things are written, each one aligned word by one store: the value of the name in the other library's symbol table, so
 * that the loader binds to ours from then on (lazy calls, libraries loaded later, dlsym), and the references that are bound
 * already. The libraries that define the names keep calling themselves.
 * Context    start-up, outside hooks, under GUARD_ALLOC. Takes the loader's lock.
 * Errors     all or nothing as far as can be known beforehand: a symbol table that cannot be made writable, and nothing is
 *            changed. What failed later is counted in the result. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object; /* objects.h */

enum { REDIRECT_LIBRARIES = 8 }; /* that may define names */

struct redirect {
	const char *name;
	void *hook;    /* NULL: only looked for, never led anywhere */
	void **real;   /* gets the definition, before the first call can arrive; or NULL */
	bool in_front; /* only a library that is looked up before ours counts */
	/* results */
	uintptr_t
	        definition; /* 0: none. Definitions by the program itself do not count: it calls them without looking up */
	unsigned references;
};

struct redirect_result {
	unsigned names, references;                 /* that were led to us */
	unsigned refused;                           /* references that could not be written */
	const char *library;                        /* path of the first library that defines one; NULL: none */
	const void *definition[REDIRECT_LIBRARIES]; /* one of each library that defines some */
	unsigned libraries;
	bool done;
};

/* Finds the definitions. True if there is one. */
bool redirect_find(struct redirect *table, size_t count, struct redirect_result *ret_result);
/* Leads them to their hooks; those without a definition are passed over. */
void redirect_apply(struct redirect *table, size_t count, struct redirect_result *result);

/* Changes an aligned word of the object, also where that is read-only by now, with one store. 0 or -errno: nothing was changed. One
 * thread at a time, and not while redirect_apply() runs. */
int redirect_word(const struct object *o, uintptr_t *at, uintptr_t value);

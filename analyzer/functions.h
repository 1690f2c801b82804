/* The distinct functions of one profile, or of two that are compared: what trees, flame graphs and exporters call a node.
 * A profile's frames differ by source line and address; two frames are one function when name and module are equal.
 * Ownership  strings belong to the profiles, which must outlive the table; functions_done() frees the rest.
 * Context    hosted programs, any thread (read-only after functions_build()). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct profile;

struct function {
	const char *name;   /* never empty */
	const char *module; /* path; "" if there is none */
	const char *file;   /* NULL if unknown */
	uint32_t line;      /* smallest line seen in `file`: near the start of the function; 0 = unknown */
	bool inlined;       /* every frame of it stood inside another function */
};

enum { FUNCTIONS_MAX_PROFILES = 2 };

struct functions {
	struct function *items;
	size_t count;
	uint32_t *of_frame[FUNCTIONS_MAX_PROFILES]; /* profile's frame index -> function */
	uint32_t unknown; /* "[unknown]", the function of stacks without frames; UINT32_MAX if no stack is like that */
};

/* profiles[0..n), n from 1 to FUNCTIONS_MAX_PROFILES. 0 or -ENOMEM; on failure *ret is untouched. */
int functions_build(const struct profile *const *profiles, size_t n, struct functions *ret, struct err *err) MUST_USE;
void functions_done(struct functions *f);
/* True for names that stand for the absence of one: "[lost]", "[truncated]", "[unknown]". */
bool function_is_special(const struct function *f);
/* True for the "module+0x1234" that a module without symbols gives. */
bool function_is_unnamed(const struct function *f);

/* Allocators that are linked into the program or a library and whose functions no other object can see: their blocks pass us by.
 * They are known by names of functions that are defined, in the symbol table of the file (symtab.h) or among what the program
 * exports; never by text that a program may only mention.
 * Context    start-up, under GUARD_ALLOC: one thread. Opens each loaded object's file for a moment. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct hidden {
	unsigned objects;      /* that have one */
	const char *allocator; /* of the first: "jemalloc"; NULL: nobody knows whose it is */
	const char *function;  /* one of its functions */
	const char *path;      /* of the first; "": the program */
	/* The program has one, and takes no block from elsewhere. */
	bool alone;
	/* The program has one by malloc's own names: its blocks and libc's may come to be mixed. */
	bool unnamed;
	/* cost */
	unsigned files; /* that were opened */
	uint64_t bytes; /* read */
};

void hidden_find(struct hidden *ret_hidden);

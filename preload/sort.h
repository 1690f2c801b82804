/* Sorting without malloc (qsort may call it).
 * Context    [any thread] */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

/* What is sorted: 16 bytes, of which the first eight are the key. */
struct MAY_ALIAS sort_row {
	uint64_t key, rest;
};

/* By key, upward; rows of one key in any order. */
void sort_rows(void *rows, size_t n);

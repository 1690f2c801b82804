/* Which module an address was in. Modules may have had the same addresses one after the other; where nothing tells the time, an
 * address belongs to the one that was loaded last. Hosted programs; any thread (read-only after model_map_init()). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

struct model;

#define MODEL_MAP_NONE UINT32_MAX

struct model_map {
	uint64_t *edges; /* sorted; cell i is [edges[i], edges[i + 1]) */
	uint32_t *owner; /* module of a cell, or MODEL_MAP_NONE */
	size_t edge_count;
};

/* False: no memory. model_map_done() either way. */
bool model_map_init(struct model_map *map, const struct model *m) MUST_USE;
/* An index into the model's modules, or MODEL_MAP_NONE. */
uint32_t model_map_find(const struct model_map *map, uint64_t pc);
void model_map_done(struct model_map *map);

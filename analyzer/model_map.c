/* model_map.c - the address space is cut into cells at every module's start and end, and the modules take those that are still
 * free, the one that was loaded last first. */
#include "model_map.h"

#include <stdlib.h>

#include "model.h"

static int compare_u64(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static int compare_loads(const void *left, const void *right, void *context)
{
	const uint32_t *a = left, *b = right;
	const struct model_module *modules = context;

	if (modules[*a].load_ns != modules[*b].load_ns)
		return modules[*a].load_ns > modules[*b].load_ns ? -1 : 1;
	return *a > *b ? -1 : 1;
}

/* The number of edges at or below `address`. */
static size_t edges_up_to(const struct model_map *map, uint64_t address)
{
	size_t low = 0, high = map->edge_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->edges[mid] <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t free_from(size_t *next, size_t cell)
{
	while (next[cell] != cell)
		cell = next[cell] = next[next[cell]]; /* halves the path: Tarjan and van Leeuwen */
	return cell;
}

static void take_cells(struct model_map *map, const struct model *m, const uint32_t *order, size_t *next)
{
	for (size_t k = 0; k < m->module_count; k++) {
		const struct model_module *mod = &m->modules[order[k]];
		size_t end;

		if (mod->start == mod->end)
			continue;
		end = edges_up_to(map, mod->end) - 1;
		for (size_t i = free_from(next, edges_up_to(map, mod->start) - 1); i < end; i = free_from(next, i)) {
			map->owner[i] = order[k];
			next[i] = i + 1;
		}
	}
}

bool model_map_init(struct model_map *map, const struct model *m)
{
	size_t n = m->module_count, count = 0;
	uint32_t *order = calloc(n + 1, sizeof(*order));
	size_t *next = calloc(2 * n + 1, sizeof(*next));

	*map = (struct model_map){ 0 };
	map->edges = calloc(2 * n + 1, sizeof(*map->edges));
	map->owner = calloc(2 * n + 1, sizeof(*map->owner));
	if (!order || !next || !map->edges || !map->owner) {
		free(order);
		free(next);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		order[i] = (uint32_t)i;
		map->edges[2 * i] = m->modules[i].start;
		map->edges[2 * i + 1] = m->modules[i].end;
	}
	qsort(map->edges, 2 * n, sizeof(*map->edges), compare_u64);
	for (size_t i = 0; i < 2 * n; i++)
		if (count == 0 || map->edges[count - 1] != map->edges[i])
			map->edges[count++] = map->edges[i];
	map->edge_count = count;
	for (size_t i = 0; i <= 2 * n; i++) {
		next[i] = i;
		map->owner[i] = MODEL_MAP_NONE;
	}
	qsort_r(order, n, sizeof(*order), compare_loads, m->modules);
	take_cells(map, m, order, next);
	free(order);
	free(next);
	return true;
}

uint32_t model_map_find(const struct model_map *map, uint64_t pc)
{
	size_t n = edges_up_to(map, pc);

	return n == 0 ? MODEL_MAP_NONE : map->owner[n - 1];
}

void model_map_done(struct model_map *map)
{
	free(map->edges);
	free(map->owner);
	*map = (struct model_map){ 0 };
}

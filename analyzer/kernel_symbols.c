#include "kernel_symbols.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct symbol {
	uint64_t address;
	char *name;   /* in the line's copy */
	char *module; /* likewise; NULL: the kernel itself */
};

struct kernel_symbols {
	struct symbol *list; /* sorted by address, text only */
	size_t count, cap;
};

static int compare(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* "ffffffff81000000 T _text" or "ffffffffc0000000 t name\t[module]". False: no memory. */
static bool add_line(struct kernel_symbols *k, const char *line)
{
	char *rest, *name, *tab;
	uint64_t address = strtoull(line, &rest, 16);
	struct symbol *more;

	if (rest == line || rest[0] != ' ' || !rest[1] || !strchr("tTwW", rest[1]) || rest[2] != ' ' || !address)
		return true;
	if (k->count == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 1 << 16;

		more = realloc(k->list, cap * sizeof(*more));
		if (!more)
			return false;
		k->list = more;
		k->cap = cap;
	}
	name = strdup(rest + 3);
	if (!name)
		return false;
	name[strcspn(name, "\n")] = '\0';
	tab = strpbrk(name, "\t ");
	k->list[k->count++] = (struct symbol){ address, name, tab ? strchr(tab, '[') : NULL };
	if (tab)
		*tab = '\0';
	return true;
}

struct kernel_symbols *kernel_symbols_read(FILE *lines)
{
	struct kernel_symbols *k = calloc(1, sizeof(*k));
	char *line = NULL;
	size_t room = 0;

	while (k && lines && getline(&line, &room, lines) > 0)
		if (!add_line(k, line)) {
			kernel_symbols_free(k);
			k = NULL;
		}
	free(line);
	if (k && k->count)
		qsort(k->list, k->count, sizeof(*k->list), compare);
	return k;
}

bool kernel_symbols_is_boot(const char *boot)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	char now[64] = "";
	bool same = f && fgets(now, sizeof(now), f) && strcspn(now, "\n") == strlen(boot) &&
	            strncmp(now, boot, strlen(boot)) == 0 && boot[0];

	if (f)
		(void)fclose(f);
	return same;
}

struct kernel_symbols *kernel_symbols_new(const char *boot)
{
	FILE *f = kernel_symbols_is_boot(boot) ? fopen("/proc/kallsyms", "r") : NULL;
	struct kernel_symbols *k = kernel_symbols_read(f);

	if (f)
		(void)fclose(f);
	return k;
}

void kernel_symbols_free(struct kernel_symbols *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->count; i++)
		free(k->list[i].name);
	free(k->list);
	free(k);
}

const char *kernel_symbols_find(const struct kernel_symbols *k, uint64_t address, const char **ret_module)
{
	size_t low = 0, high = k ? k->count : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (k->list[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	*ret_module = k->list[low - 1].module ? k->list[low - 1].module : "[kernel]";
	return k->list[low - 1].name;
}

/*
 * dwarf_frames.c - address -> unit -> function -> inlined calls.
 *
 * dwarf_getscopes() walks a whole unit for every address, which for a one-file program such as sqlite is the whole
 * program. So the ranges of units, and of the functions of a unit once an address falls into it, are kept sorted; an
 * address then walks one function's children only. Compilers may leave out .debug_aranges: the units' own ranges are read.
 */
#include "dwarf_frames.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200, MAX_RANGES = 1 << 24 };

/* [low, high) belongs to number `item`: a unit, or an index into a unit's functions. */
struct range {
	uint64_t low, high;
	uint32_t item;
};
struct ranges {
	struct range *list;
	size_t count, cap;
};

struct unit {
	Dwarf_Die die;
	bool functions_read;
	Dwarf_Die *functions;
	size_t function_count, function_cap;
	struct ranges ranges;
};

struct dwarf_frames {
	Dwarf *dw, *alt;
	struct unit *units;
	size_t unit_count, unit_cap;
	struct ranges ranges;
	bool units_read, is_split;
};

static void add_range(struct ranges *r, uint64_t low, uint64_t high, size_t item)
{
	if (low >= high || r->count >= MAX_RANGES)
		return;
	if (r->count == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct range *list = realloc(r->list, cap * sizeof(*list));

		if (!list)
			return; /* fewer names, nothing worse */
		r->list = list;
		r->cap = cap;
	}
	r->list[r->count++] = (struct range){ low, high, (uint32_t)item };
}

static void add_die_ranges(struct ranges *r, Dwarf_Die *die, size_t item)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0)
		if (low != 0) /* what the linker discarded stands at 0 */
			add_range(r, low, high, item);
}

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return (a->item > b->item) - (a->item < b->item);
}

static void sort_ranges(struct ranges *r)
{
	if (r->count)
		qsort(r->list, r->count, sizeof(*r->list), compare_ranges);
}

/* The range with the highest start around `address`. Ranges of one kind hardly overlap; the walk back is bounded. */
static const struct range *find_range(const struct ranges *r, uint64_t address)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->list[mid].low <= address)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t back = 0; back < 16 && back < low; back++)
		if (address < r->list[low - 1 - back].high)
			return &r->list[low - 1 - back];
	return NULL;
}

struct dwarf_frames *dwarf_frames_new(Elf *elf, Elf *alt)
{
	Dwarf *dw = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	struct dwarf_frames *d;
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t type;

	if (!dw)
		return NULL;
	/* .eh_frame alone makes a Dwarf, too. */
	d = dwarf_get_units(dw, cu, &cu, NULL, &type, &die, NULL) == 0 ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		(void)dwarf_end(dw);
		return NULL;
	}
	d->dw = dw;
	d->alt = alt ? dwarf_begin_elf(alt, DWARF_C_READ, NULL) : NULL;
	if (d->alt)
		dwarf_setalt(dw, d->alt);
	return d;
}

void dwarf_frames_free(struct dwarf_frames *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->unit_count; i++) {
		free(d->units[i].functions);
		free(d->units[i].ranges.list);
	}
	free(d->units);
	free(d->ranges.list);
	(void)dwarf_end(d->dw);
	if (d->alt)
		(void)dwarf_end(d->alt);
	free(d);
}

static void read_units(struct dwarf_frames *d)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, sub;
	uint8_t type;

	d->units_read = true;
	while (dwarf_get_units(d->dw, cu, &cu, NULL, &type, &die, &sub) == 0) {
		bool split = type == DW_UT_skeleton && dwarf_tag(&sub) != DW_TAG_invalid;

		d->is_split |= type == DW_UT_skeleton;
		if (d->unit_count == d->unit_cap) {
			size_t cap = d->unit_cap ? d->unit_cap * 2 : 64;
			struct unit *units = realloc(d->units, cap * sizeof(*units));

			if (!units)
				break;
			d->units = units;
			d->unit_cap = cap;
		}
		add_die_ranges(&d->ranges, &die, d->unit_count);
		memset(&d->units[d->unit_count], 0, sizeof(*d->units));
		d->units[d->unit_count++].die = split ? sub : die;
	}
	sort_ranges(&d->ranges);
}

bool dwarf_frames_is_split(const struct dwarf_frames *d)
{
	return d->is_split;
}

static bool holds_functions(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
	       tag == DW_TAG_union_type || tag == DW_TAG_module || tag == DW_TAG_enumeration_type ||
	       tag == DW_TAG_variant_part || tag == DW_TAG_variant;
}

static void add_function(struct unit *u, Dwarf_Die *die)
{
	size_t before = u->ranges.count;

	add_die_ranges(&u->ranges, die, u->function_count);
	if (u->ranges.count == before)
		return; /* a declaration or an abstract instance */
	if (u->function_count == u->function_cap) {
		size_t cap = u->function_cap ? u->function_cap * 2 : 64;
		Dwarf_Die *functions = realloc(u->functions, cap * sizeof(*functions));

		if (!functions) {
			u->ranges.count = before;
			return;
		}
		u->functions = functions;
		u->function_cap = cap;
	}
	u->functions[u->function_count++] = *die;
}

static void read_functions(struct unit *u, Dwarf_Die *parent, unsigned depth)
{
	Dwarf_Die die;

	if (depth > MAX_DEPTH || dwarf_child(parent, &die) != 0)
		return;
	do {
		int tag = dwarf_tag(&die);

		if (tag == DW_TAG_subprogram) {
			add_function(u, &die);
			if (dwarf_hasattr(&die, DW_AT_low_pc) || dwarf_hasattr(&die, DW_AT_ranges))
				read_functions(u, &die, depth + 1); /* nested functions, local classes */
		} else if (holds_functions(tag) || tag == DW_TAG_lexical_block) {
			read_functions(u, &die, depth + 1);
		}
	} while (dwarf_siblingof(&die, &die) == 0);
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute mem;
	const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &mem));

	if (!name)
		name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &mem));
	return name ? name : dwarf_diename(die);
}

static uint64_t number_attr(Dwarf_Die *die, unsigned attr)
{
	Dwarf_Attribute mem;
	Dwarf_Word value;

	return dwarf_formudata(dwarf_attr(die, attr, &mem), &value) == 0 ? value : 0;
}

/* The inlined calls around `address` below `parent`, outermost first. */
static size_t find_inlined(Dwarf_Die *parent, uint64_t address, Dwarf_Die *ret_dies, size_t most, unsigned depth)
{
	Dwarf_Die die;

	if (most == 0 || depth > MAX_DEPTH || dwarf_child(parent, &die) != 0)
		return 0;
	do {
		int tag = dwarf_tag(&die);
		size_t found;

		if (tag == DW_TAG_inlined_subroutine && dwarf_haspc(&die, address) > 0) {
			ret_dies[0] = die;
			return 1 + find_inlined(&die, address, ret_dies + 1, most - 1, depth + 1);
		}
		if (tag != DW_TAG_lexical_block)
			continue;
		if (dwarf_haspc(&die, address) == 0)
			continue;
		found = find_inlined(&die, address, ret_dies, most, depth + 1);
		if (found)
			return found;
	} while (dwarf_siblingof(&die, &die) == 0);
	return 0;
}

/* File and line where the function of `inlined` was called: they stand on the inlined DIE itself. */
static void call_site(struct unit *u, Dwarf_Die *inlined, struct dwarf_frame *caller)
{
	Dwarf_Files *files;
	size_t n;
	uint64_t file = number_attr(inlined, DW_AT_call_file);

	caller->line = (uint32_t)number_attr(inlined, DW_AT_call_line);
	if (dwarf_getsrcfiles(&u->die, &files, &n) == 0 && file < n)
		caller->file = dwarf_filesrc(files, file, NULL, NULL);
}

static void leaf_line(struct unit *u, uint64_t address, struct dwarf_frame *leaf)
{
	Dwarf_Line *line = dwarf_getsrc_die(&u->die, address);
	int number;

	if (!line)
		return;
	if (dwarf_lineno(line, &number) == 0 && number > 0)
		leaf->line = (uint32_t)number;
	leaf->file = dwarf_linesrc(line, NULL, NULL);
}

size_t dwarf_frames_find(struct dwarf_frames *d, uint64_t address, struct dwarf_frame ret_frames[DWARF_MAX_INLINE])
{
	Dwarf_Die *function, inlined[DWARF_MAX_INLINE - 1];
	const struct range *r;
	struct unit *u;
	size_t n = 0;

	if (!d->units_read)
		read_units(d);
	r = find_range(&d->ranges, address);
	if (!r)
		return 0;
	u = &d->units[r->item];
	if (!u->functions_read) {
		u->functions_read = true;
		read_functions(u, &u->die, 0);
		sort_ranges(&u->ranges);
	}
	memset(ret_frames, 0, DWARF_MAX_INLINE * sizeof(*ret_frames));
	leaf_line(u, address, &ret_frames[0]);
	r = find_range(&u->ranges, address);
	if (!r)
		return ret_frames[0].file ? 1 : 0; /* assembly has lines only */
	function = &u->functions[r->item];
	n = find_inlined(function, address, inlined, DWARF_MAX_INLINE - 1, 0);
	for (size_t i = 0; i < n; i++) {
		Dwarf_Die *die = &inlined[n - 1 - i]; /* innermost first */

		ret_frames[i].name = name_of(die);
		ret_frames[i].inlined = true;
		call_site(u, die, &ret_frames[i + 1]);
	}
	ret_frames[n].name = name_of(function);
	return n + 1;
}

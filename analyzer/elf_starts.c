/*
 * elf_starts.c - .eh_frame_hdr as a list of functions. LSB 5.0 core, 10.6.2: version 1, then three encodings, a pointer to
 * .eh_frame, the count, and pairs of 32-bit offsets from the header: a function's begin, and its entry in .eh_frame.
 */
#include "elf_starts.h"

#include <stdlib.h>
#include <string.h>

#include "elf_section.h"
#include "elf_source.h"

enum { HEADER_BYTES = 12, PAIR_BYTES = 8, ENC_PCREL_SDATA4 = 0x1b, ENC_UDATA4 = 0x03, ENC_DATAREL_SDATA4 = 0x3b };

static int32_t signed_at(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value)); /* little-endian machines, as the recorder's */
	return value;
}

/* The end that the entry at `address` gives for a function that begins at `start`; 0 if it is not in the usual encoding:
 * length, CIE, begin relative to itself, size, four bytes each. */
static uint64_t end_of(const struct elf_section *frames, uint64_t address, uint64_t start)
{
	uint64_t at = address - frames->address;
	uint32_t size;

	if (address < frames->address || frames->bytes < 16 || at > frames->bytes - 16)
		return 0;
	if (address + 8 + (uint64_t)(int64_t)signed_at(frames->data + at + 8) != start)
		return 0;
	size = (uint32_t)signed_at(frames->data + at + 12);
	return start + size;
}

static int by_start(const void *left, const void *right)
{
	const struct elf_start *a = left, *b = right;

	return (a->start > b->start) - (a->start < b->start);
}

bool elf_starts_load(struct elf_starts *t, const struct elf_source *source)
{
	struct elf_section hdr, frames = { 0 };
	uint32_t count;

	if (!elf_section_find(source->main, ".eh_frame_hdr", &hdr) || hdr.bytes < HEADER_BYTES || hdr.data[0] != 1 ||
	    hdr.data[1] != ENC_PCREL_SDATA4 || hdr.data[2] != ENC_UDATA4 || hdr.data[3] != ENC_DATAREL_SDATA4)
		return true;
	(void)elf_section_find(source->main, ".eh_frame", &frames); /* without it ends are not known */
	count = (uint32_t)signed_at(hdr.data + 8);
	if (count > (hdr.bytes - HEADER_BYTES) / PAIR_BYTES)
		return true;
	t->list = calloc(count ? count : 1, sizeof(*t->list));
	if (!t->list)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *pair = hdr.data + HEADER_BYTES + (size_t)i * PAIR_BYTES;
		uint64_t start = hdr.address + (uint64_t)(int64_t)signed_at(pair);
		uint64_t entry = hdr.address + (uint64_t)(int64_t)signed_at(pair + 4);

		t->list[i] = (struct elf_start){ start, frames.data ? end_of(&frames, entry, start) : 0 };
	}
	t->count = count;
	qsort(t->list, t->count, sizeof(*t->list), by_start);
	return true;
}

bool elf_starts_find(const struct elf_starts *t, uint64_t address, uint64_t *ret_start)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->list[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 || (t->list[low - 1].end && address >= t->list[low - 1].end))
		return false;
	*ret_start = t->list[low - 1].start;
	return true;
}

void elf_starts_done(struct elf_starts *t)
{
	free(t->list);
	*t = (struct elf_starts){ 0 };
}

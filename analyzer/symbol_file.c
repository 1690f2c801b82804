/*
 * symbol_file.c - the cache's file of one module.
 *
 *   magic, checksum of all that follows, identity_bytes, kind, pc_count, frame_count, text_bytes, 0   (8 + 8 + 6 * 4 bytes)
 *   pcs     u64 each, ascending
 *   firsts  u32 each: the first frame of that pc; the next pc's first ends it
 *   frames  name, file + 1, line, inlined   (u32 each; name and file are offsets into the text)
 *   text    strings, each ending in NUL; the first of them is the identity
 *
 * In the machine's byte order: it never leaves the machine. The checksum is against files cut short or damaged, not against
 * enemies; those are kept out by the directory's owner and mode. So every index is checked again where it is used.
 */
#include "symbol_file.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "intern.h"

struct header {
	char magic[8];
	uint64_t checksum;
	uint32_t identity_bytes, kind, pc_count, frame_count, text_bytes, zero;
};
struct stored_frame {
	uint32_t name, file1, line, inlined;
};
static_assert(sizeof(struct header) == 40 && sizeof(struct stored_frame) == 16, "no holes");

static const char magic[8] = { 'P', 'P', 's', 'y', 'm', 's', '0', '1' };

enum { CHECKED_FROM = offsetof(struct header, identity_bytes) };

static uint64_t checksum(const unsigned char *data, size_t bytes)
{
	uint64_t sum = bytes * UINT64_C(0x9e3779b97f4a7c15), word;

	for (; bytes >= sizeof(word); data += sizeof(word), bytes -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0xff51afd7ed558ccd);
		sum ^= sum >> 32;
	}
	word = 0;
	memcpy(&word, data, bytes);
	sum = (sum ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
	return sum ^ sum >> 29;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static uint64_t pc_at(const struct symbol_file *f, size_t i)
{
	uint64_t pc;

	memcpy(&pc, f->pcs + i * sizeof(pc), sizeof(pc));
	return pc;
}

static uint32_t first_at(const struct symbol_file *f, size_t i)
{
	uint32_t first;

	if (i == f->pc_count)
		return f->frame_count;
	memcpy(&first, f->firsts + i * sizeof(first), sizeof(first));
	return first;
}

bool symbol_file_parse(struct symbol_file *ret, void *data, size_t bytes, const char *identity)
{
	const unsigned char *at = data;
	struct symbol_file f = { .data = data };
	struct header h;
	uint64_t want;

	if (bytes < sizeof(h) || bytes > SYMBOL_FILE_MAX_BYTES)
		return false;
	memcpy(&h, data, sizeof(h));
	want = sizeof(h) + (uint64_t)h.pc_count * 12 + (uint64_t)h.frame_count * sizeof(struct stored_frame) +
	       h.text_bytes;
	if (memcmp(h.magic, magic, sizeof(magic)) != 0 || bytes != want || h.kind > SYMBOLS_DEBUG ||
	    h.text_bytes == 0 || h.identity_bytes != strlen(identity) || h.identity_bytes >= h.text_bytes)
		return false;
	f.kind = h.kind;
	f.pc_count = h.pc_count;
	f.frame_count = h.frame_count;
	f.text_bytes = h.text_bytes;
	f.pcs = at + sizeof(h);
	f.firsts = f.pcs + (size_t)h.pc_count * sizeof(uint64_t);
	f.frames = f.firsts + (size_t)h.pc_count * sizeof(uint32_t);
	f.text = (const char *)f.frames + (size_t)h.frame_count * sizeof(struct stored_frame);
	if (f.text[f.text_bytes - 1] != '\0' || memcmp(f.text, identity, h.identity_bytes + 1) != 0 ||
	    checksum(at + CHECKED_FROM, bytes - CHECKED_FROM) != h.checksum)
		return false;
	*ret = f;
	return true;
}

static size_t frames_at(const struct symbol_file *f, size_t i, struct symbol_frame *ret_frames)
{
	uint32_t first = first_at(f, i), end = first_at(f, i + 1);

	if (first >= end || end > f->frame_count || end - first > SYMBOL_FILE_MAX_FRAMES)
		return 0;
	for (uint32_t k = first; k < end; k++) {
		struct stored_frame s;

		memcpy(&s, f->frames + k * sizeof(s), sizeof(s));
		if (s.name >= f->text_bytes || s.file1 > f->text_bytes)
			return 0;
		ret_frames[k - first] = (struct symbol_frame){ .function = f->text + s.name,
			                                       .file = s.file1 ? f->text + s.file1 - 1 : NULL,
			                                       .line = s.line,
			                                       .inlined = s.inlined != 0 };
	}
	return end - first;
}

size_t symbol_file_find(const struct symbol_file *f, uint64_t address,
                        struct symbol_frame ret_frames[SYMBOL_FILE_MAX_FRAMES])
{
	size_t low = 0, high = f->pc_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (pc_at(f, mid) < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->pc_count && pc_at(f, low) == address ? frames_at(f, low, ret_frames) : 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct writer {
	struct arena arena;
	struct intern texts;
	uint32_t *offsets; /* by number in texts */
	size_t offset_cap;
	struct buf pcs, firsts, frames, text;
	uint32_t pc_count, frame_count;
	bool failed;
};

static uint32_t text_offset(struct writer *w, const char *text)
{
	size_t before = w->texts.count, len = strlen(text);
	int64_t i = intern_add(&w->texts, text, len);

	if (i < 0 || w->text.len > SYMBOL_FILE_MAX_BYTES) {
		w->failed = true;
		return 0;
	}
	if ((size_t)i < before)
		return w->offsets[i];
	if ((size_t)i >= w->offset_cap) {
		size_t cap = w->offset_cap ? w->offset_cap * 2 : 1024;
		uint32_t *list = realloc(w->offsets, cap * sizeof(*list));

		if (!list) {
			w->failed = true;
			return 0;
		}
		w->offsets = list;
		w->offset_cap = cap;
	}
	w->offsets[i] = (uint32_t)w->text.len;
	buf_add(&w->text, text, len + 1);
	return w->offsets[i];
}

static void add_entry(struct writer *w, uint64_t address, const struct symbol_frame *frames, size_t count)
{
	if (count == 0 || count > SYMBOL_FILE_MAX_FRAMES || w->failed)
		return; /* it is asked again */
	buf_add(&w->pcs, &address, sizeof(address));
	buf_add(&w->firsts, &w->frame_count, sizeof(w->frame_count));
	for (size_t i = 0; i < count; i++) {
		struct stored_frame s = { .name = text_offset(w, frames[i].function),
			                  .file1 = frames[i].file ? text_offset(w, frames[i].file) + 1 : 0,
			                  .line = frames[i].line,
			                  .inlined = frames[i].inlined };

		buf_add(&w->frames, &s, sizeof(s));
	}
	w->pc_count++;
	w->frame_count += (uint32_t)count;
}

static void add_all(struct writer *w, const struct symbol_entry *entries, size_t count,
                    const struct symbol_file *before)
{
	size_t old = before ? before->pc_count : 0;
	struct symbol_frame frames[SYMBOL_FILE_MAX_FRAMES];

	for (size_t i = 0, k = 0; (i < count || k < old) && !w->failed;) {
		if (k == old || (i < count && entries[i].address <= pc_at(before, k))) {
			if (k < old && entries[i].address == pc_at(before, k))
				k++;
			add_entry(w, entries[i].address, entries[i].frames, entries[i].count);
			i++;
		} else {
			add_entry(w, pc_at(before, k), frames, frames_at(before, k, frames));
			k++;
		}
	}
}

static int by_address(const void *left, const void *right)
{
	const struct symbol_entry *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

void symbol_file_seal(void *data, size_t bytes)
{
	struct header h;

	if (bytes < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	h.checksum = checksum((unsigned char *)data + CHECKED_FROM, bytes - CHECKED_FROM);
	memcpy(data, &h, sizeof(h));
}

static bool finish(struct writer *w, struct buf *out, size_t identity_bytes, uint32_t kind)
{
	struct header h = { .identity_bytes = (uint32_t)identity_bytes,
		            .kind = kind,
		            .pc_count = w->pc_count,
		            .frame_count = w->frame_count,
		            .text_bytes = (uint32_t)w->text.len };
	size_t start = out->len;

	if (w->failed || w->pcs.failed || w->firsts.failed || w->frames.failed || w->text.failed ||
	    sizeof(h) + w->pcs.len + w->firsts.len + w->frames.len + w->text.len > SYMBOL_FILE_MAX_BYTES)
		return false;
	memcpy(h.magic, magic, sizeof(magic));
	buf_add(out, &h, sizeof(h));
	buf_add(out, w->pcs.data, w->pcs.len);
	buf_add(out, w->firsts.data, w->firsts.len);
	buf_add(out, w->frames.data, w->frames.len);
	buf_add(out, w->text.data, w->text.len);
	if (out->failed)
		return false;
	symbol_file_seal(out->data + start, out->len - start);
	return true;
}

static bool write_once(struct buf *out, const char *identity, uint32_t kind, const struct symbol_entry *entries,
                       size_t count, const struct symbol_file *before)
{
	struct writer w = { 0 };
	bool ok;

	w.texts.arena = &w.arena;
	(void)text_offset(&w, identity); /* the first */
	add_all(&w, entries, count, before);
	ok = finish(&w, out, strlen(identity), kind);
	buf_done(&w.pcs);
	buf_done(&w.firsts);
	buf_done(&w.frames);
	buf_done(&w.text);
	intern_done(&w.texts);
	free(w.offsets);
	arena_done(&w.arena);
	return ok;
}

bool symbol_file_write(struct buf *out, const char *identity, uint32_t kind, struct symbol_entry *entries, size_t count,
                       const struct symbol_file *before)
{
	if (count)
		qsort(entries, count, sizeof(*entries), by_address);
	return write_once(out, identity, kind, entries, count, before) ||
	       (before && !out->failed && write_once(out, identity, kind, entries, count, NULL));
}

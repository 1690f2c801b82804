/* result_write.c - records of a results file. */
#include "result_write.h"

#include <string.h>

#include "result_layout.h"
#include "snapshot_codec.h"

static void add_u32(struct buf *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		buf_add_char(out, (char)(value >> 8 * i));
}

static void add_varint(struct buf *out, uint64_t value)
{
	uint8_t bytes[PUT_VARINT_MAX];
	struct put p = { bytes, bytes + sizeof(bytes), false };

	put_varint(&p, value);
	buf_add(out, bytes, (size_t)(p.at - bytes));
}

static void add_text(struct buf *out, const char *text)
{
	add_varint(out, strlen(text));
	buf_add_str(out, text);
}

static void add_double(struct buf *out, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	add_u32(out, (uint32_t)bits);
	add_u32(out, (uint32_t)(bits >> 32));
}

/* Where the record begins; the length is filled in by record_end(). */
static size_t record_begin(struct buf *out, enum result_record type)
{
	size_t at = out->len;

	add_u32(out, 0);
	buf_add_char(out, (char)type);
	return at;
}

static void record_end(struct buf *out, size_t at)
{
	uint32_t bytes, crc;

	if (out->failed)
		return;
	bytes = (uint32_t)(out->len - at - 4);
	crc = crc32c(0, out->data + at + 4, bytes);
	for (int i = 0; i < 4; i++)
		out->data[at + (size_t)i] = (char)(bytes >> 8 * i);
	add_u32(out, crc);
}

void result_write_begin(struct result_writer *w, struct buf *out)
{
	*w = (struct result_writer){ .out = out };
	buf_add(out, RESULT_MAGIC, RESULT_MAGIC_BYTES);
	add_u32(out, RESULT_VERSION);
}

void result_write_fact(struct result_writer *w, const char *name, const char *text)
{
	size_t at = record_begin(w->out, RESULT_FACT);

	add_text(w->out, name);
	add_text(w->out, text);
	record_end(w->out, at);
}

static void write_series(struct result_writer *w, const struct series *s)
{
	size_t at = record_begin(w->out, RESULT_SERIES);

	buf_add_char(w->out, (char)s->kind);
	buf_add_char(w->out, (char)s->contains);
	add_text(w->out, s->metric);
	add_varint(w->out, s->tag_count);
	for (uint32_t i = 0; i < s->tag_count; i++) {
		add_text(w->out, s->tags[i].key);
		add_text(w->out, s->tags[i].value);
	}
	record_end(w->out, at);
}

static bool has_value(const struct series *s)
{
	switch ((enum series_kind)s->kind) {
	case SERIES_COUNTER:
		return s->sum != 0;
	case SERIES_TREND:
		return s->trend.count > 0;
	default:
		return s->total > 0;
	}
}

/* Buckets that are not empty: how far from the one before, and how often. */
static void add_trend(struct buf *out, const struct series *all, const struct series *slice)
{
	const struct histogram *h = &slice->trend;
	uint32_t first = histogram_index(h->min), last = histogram_index(h->max), before = 0;
	uint64_t used = 0;

	for (uint32_t i = first; i <= last; i++)
		used += h->buckets[i] > 0;
	add_varint(out, (uint64_t)h->sum);
	add_varint(out, all->trend.min);
	add_varint(out, all->trend.max);
	add_varint(out, used);
	for (uint32_t i = first; i <= last; i++) {
		if (h->buckets[i] == 0)
			continue;
		add_varint(out, i - before);
		add_varint(out, h->buckets[i]);
		before = i;
	}
}

static void add_value(struct buf *out, const struct series *all, const struct series *slice)
{
	switch ((enum series_kind)slice->kind) {
	case SERIES_COUNTER:
		add_double(out, slice->sum);
		return;
	case SERIES_GAUGE:
		add_double(out, slice->last);
		add_double(out, all->min);
		add_double(out, all->max);
		add_varint(out, slice->total);
		return;
	case SERIES_RATE:
		add_varint(out, slice->yes);
		add_varint(out, slice->total);
		return;
	default:
		add_trend(out, all, slice);
	}
}

void result_write_slice(struct result_writer *w, uint64_t from_ns, uint64_t to_ns, const struct series_set *all,
                        const struct series_set *slice)
{
	uint64_t values = 0;
	size_t at;

	for (; w->known < all->count; w->known++)
		write_series(w, all->items[w->known]);
	for (size_t i = 0; i < slice->count; i++)
		values += has_value(slice->items[i]);
	at = record_begin(w->out, RESULT_SLICE);
	add_varint(w->out, from_ns);
	add_varint(w->out, to_ns);
	add_varint(w->out, values);
	for (size_t i = 0; i < slice->count; i++) {
		if (!has_value(slice->items[i]))
			continue;
		add_varint(w->out, i);
		add_value(w->out, all->items[i], slice->items[i]);
	}
	record_end(w->out, at);
}

void result_write_end(struct result_writer *w)
{
	record_end(w->out, record_begin(w->out, RESULT_END));
}

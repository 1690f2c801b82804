/* result_read.c - records of a results file, none of them believed. */
#include "result_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "result_layout.h"
#include "snapshot_codec.h"

enum { TEXT_MAX = SERIES_TEXT_MAX };

struct reader {
	struct results r;
	struct series_set slice; /* same series at the same places as r.all */
	result_slice_fn *on_slice;
	void *context;
	struct err *err;
};

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static double cursor_double(struct cursor *c)
{
	uint64_t bits;
	double value;

	if (c->end - c->at < 8) {
		c->bad = true;
		return 0;
	}
	bits = get_u32(c->at) | (uint64_t)get_u32(c->at + 4) << 32;
	c->at += 8;
	memcpy(&value, &bits, sizeof(value));
	c->bad = c->bad || !isfinite(value);
	return value;
}

static uint8_t cursor_byte(struct cursor *c)
{
	if (c->at == c->end) {
		c->bad = true;
		return 0;
	}
	return *c->at++;
}

/* A NUL-terminated copy, at `*room`, which is moved on. A NUL inside is not text. */
static const char *copy_text(struct cursor *c, char **room, const char *room_end)
{
	size_t len = 0;
	const uint8_t *text = cursor_string(c, TEXT_MAX, &len);
	char *copy = *room;

	if (c->bad || !text || len >= (size_t)(room_end - copy) || memchr(text, 0, len)) {
		c->bad = true;
		return "";
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	*room = copy + len + 1;
	return copy;
}

static int set_fact(struct results *r, const char *name, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < r->fact_count; i++) {
		if (strcmp(r->facts[i].name, name) == 0) {
			free(r->facts[i].text);
			r->facts[i].text = copy;
			return 0;
		}
	}
	if (!r->facts)
		r->facts = calloc(RESULT_FACTS_MAX, sizeof(*r->facts));
	if (!r->facts || r->fact_count == RESULT_FACTS_MAX || !(r->facts[r->fact_count].name = strdup(name))) {
		int rc = r->facts && r->fact_count == RESULT_FACTS_MAX ? -EPROTO : -ENOMEM;

		free(copy);
		return rc;
	}
	r->facts[r->fact_count++].text = copy;
	return 0;
}

static int read_fact(struct reader *rd, struct cursor *c)
{
	char text[2 * TEXT_MAX + 2], *room = text;
	const char *name = copy_text(c, &room, text + sizeof(text)), *value = copy_text(c, &room, text + sizeof(text));

	return c->bad ? -EPROTO : set_fact(&rd->r, name, value);
}

static int read_series(struct reader *rd, struct cursor *c)
{
	char text[SERIES_TEXT_MAX + 1], *room = text;
	const char *metric;
	struct series_tag tags[SERIES_TAGS_MAX];
	uint8_t kind = cursor_byte(c), contains = cursor_byte(c);
	size_t before = rd->r.all.count;
	uint32_t count;

	metric = copy_text(c, &room, text + sizeof(text));
	count = cursor_u32(c);
	if (c->bad || kind >= SERIES_KINDS || contains >= SERIES_CONTENTS || count > SERIES_TAGS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		tags[i].key = copy_text(c, &room, text + sizeof(text));
		tags[i].value = copy_text(c, &room, text + sizeof(text));
	}
	/* One that is there already, or that breaks a limit, would shift the numbers of all that follow. */
	if (c->bad || !series_get(&rd->r.all, metric, kind, contains, tags, count) || rd->r.all.count == before)
		return -EPROTO;
	return series_get(&rd->slice, metric, kind, contains, tags, count) ? 0 : -ENOMEM;
}

static int read_trend(struct cursor *c, struct series *all, struct series *slice)
{
	uint64_t sum = cursor_varint(c), min = cursor_varint(c), max = cursor_varint(c), used = cursor_varint(c);
	uint32_t index = 0, first = 0;

	if (c->bad || used == 0 || used > HISTOGRAM_BUCKETS || min > max)
		return -EPROTO;
	for (uint64_t i = 0; i < used; i++) {
		uint32_t step = cursor_u32(c);
		uint64_t times = cursor_varint(c);

		if (c->bad || times == 0 || (i > 0 && step == 0) || step >= HISTOGRAM_BUCKETS - index ||
		    times > UINT64_MAX - all->trend.count - slice->trend.count)
			return -EPROTO;
		index += step;
		if (i == 0)
			first = index;
		/* Kept true at every step: what histogram_clear() and _merge() go by. */
		slice->trend.min = histogram_bucket_low(first);
		slice->trend.max = histogram_bucket_low(index) + (histogram_bucket_width(index) - 1);
		histogram_add_bucket(&slice->trend, index, times);
	}
	slice->trend.sum = sum;
	if (first < histogram_index(min) || index > histogram_index(max) ||
	    (all->trend.count && (min > all->trend.min || max < all->trend.max)))
		return -EPROTO;
	histogram_merge(&all->trend, &slice->trend);
	all->trend.min = min; /* exact, and so far */
	all->trend.max = max;
	if (slice->trend.min < min)
		slice->trend.min = min;
	if (slice->trend.max > max)
		slice->trend.max = max;
	return 0;
}

static int read_gauge(struct cursor *c, struct series *all, struct series *slice)
{
	double last = cursor_double(c), min = cursor_double(c), max = cursor_double(c);
	uint64_t total = cursor_varint(c);

	if (c->bad || total == 0 || total > UINT64_MAX - all->total || !(min <= last && last <= max))
		return -EPROTO;
	slice->last = slice->min = slice->max = last;
	slice->total = total;
	all->last = last;
	all->min = min;
	all->max = max;
	all->total += total;
	return 0;
}

static int read_value(struct cursor *c, struct series *all, struct series *slice)
{
	switch ((enum series_kind)all->kind) {
	case SERIES_COUNTER:
		slice->sum = cursor_double(c);
		all->sum += slice->sum;
		return c->bad || !isfinite(all->sum) ? -EPROTO : 0;
	case SERIES_RATE:
		slice->yes = cursor_varint(c);
		slice->total = cursor_varint(c);
		if (c->bad || slice->yes > slice->total || slice->total > UINT64_MAX - all->total)
			return -EPROTO;
		all->yes += slice->yes;
		all->total += slice->total;
		return 0;
	case SERIES_GAUGE:
		return read_gauge(c, all, slice);
	default:
		return read_trend(c, all, slice);
	}
}

static int read_slice(struct reader *rd, struct cursor *c)
{
	uint64_t from_ns = cursor_varint(c), to_ns = cursor_varint(c), values = cursor_varint(c), next = 0;

	if (c->bad || from_ns > to_ns || from_ns < rd->r.elapsed_ns)
		return -EPROTO;
	for (size_t i = 0; i < rd->slice.count; i++)
		series_clear(rd->slice.items[i]);
	for (uint64_t i = 0; i < values; i++) {
		uint64_t number = cursor_varint(c);

		if (c->bad || number < next || number >= rd->r.all.count || /* in order: none twice */
		    read_value(c, rd->r.all.items[number], rd->slice.items[number]) < 0)
			return -EPROTO;
		next = number + 1;
	}
	rd->r.elapsed_ns = to_ns;
	rd->r.slices++;
	if (c->at == c->end && rd->on_slice)
		rd->on_slice(rd->context, from_ns, to_ns, &rd->slice);
	return 0;
}

static int read_record(struct reader *rd, const uint8_t *at, uint32_t bytes)
{
	struct cursor c = { at + 1, at + bytes, false };
	int rc = 0;

	if (rd->r.ended)
		return err_set(rd->err, -EPROTO, "a record behind the end of the run");
	switch (at[0]) {
	case RESULT_FACT:
		rc = read_fact(rd, &c);
		break;
	case RESULT_SERIES:
		rc = read_series(rd, &c);
		break;
	case RESULT_SLICE:
		rc = read_slice(rd, &c);
		break;
	case RESULT_END:
		rd->r.ended = 1;
		break;
	default:
		rc = -EPROTO;
	}
	if (rc == -ENOMEM)
		return err_set(rd->err, rc, "out of memory");
	if (rc < 0 || c.at != c.end)
		return err_set(rd->err, -EPROTO, "a record of type %u cannot be right", at[0]);
	return 0;
}

/* All whole records. What is behind them is cut_bytes: the writer was about to write on, or was killed. */
static int read_records(struct reader *rd, const uint8_t *at, const uint8_t *end)
{
	while (end - at >= RESULT_RECORD_HEAD + RESULT_RECORD_TAIL) {
		uint32_t bytes = get_u32(at);
		const uint8_t *body = at + 4;
		int rc;

		if (bytes == 0 || bytes > RESULT_RECORD_MAX)
			return err_set(rd->err, -EPROTO, "a record of %u bytes", bytes);
		if ((size_t)(end - body) < (size_t)bytes + RESULT_RECORD_TAIL)
			break;
		if (crc32c(0, body, bytes) != get_u32(body + bytes))
			return err_set(rd->err, -EPROTO, "a record's checksum is wrong");
		rc = read_record(rd, body, bytes);
		if (rc < 0)
			return rc;
		at = body + bytes + RESULT_RECORD_TAIL;
	}
	rd->r.cut_bytes = (uint64_t)(end - at);
	return 0;
}

int result_read(const void *data, size_t bytes, result_slice_fn *on_slice, void *context, struct results *ret_results,
                struct err *err)
{
	const uint8_t *at = data;
	struct reader rd = { .on_slice = on_slice, .context = context, .err = err, .r = { .runs = 1 } };
	int rc;

	if (bytes < RESULT_HEADER_BYTES || memcmp(at, RESULT_MAGIC, RESULT_MAGIC_BYTES) != 0)
		return err_set(err, -EPROTO, "not a results file of probe-load");
	if (get_u32(at + RESULT_MAGIC_BYTES) != RESULT_VERSION)
		return err_set(err, -ENOTSUP, "version %u of the format is not known here (only %d)",
		               get_u32(at + RESULT_MAGIC_BYTES), RESULT_VERSION);
	rc = read_records(&rd, at + RESULT_HEADER_BYTES, at + bytes);
	series_set_done(&rd.slice);
	if (rc < 0) {
		results_done(&rd.r);
		return rc;
	}
	*ret_results = rd.r;
	return 0;
}

void results_done(struct results *r)
{
	for (size_t i = 0; i < r->fact_count; i++) {
		free(r->facts[i].name);
		free(r->facts[i].text);
	}
	free(r->facts);
	series_set_done(&r->all);
	*r = (struct results){ 0 };
}

const char *result_fact(const struct results *r, const char *name)
{
	for (size_t i = 0; i < r->fact_count; i++)
		if (strcmp(r->facts[i].name, name) == 0)
			return r->facts[i].text;
	return NULL;
}

static int merge_fact(struct results *into, const struct result_fact *fact)
{
	const char *known = result_fact(into, fact->name);
	CLEANUP(buf_done) struct buf both = { 0 };

	if (!known)
		return set_fact(into, fact->name, fact->text);
	if (strcmp(known, fact->text) == 0 || strlen(known) + strlen(fact->text) + 2 > TEXT_MAX)
		return 0;
	buf_printf(&both, "%s; %s", known, fact->text);
	return both.failed ? -ENOMEM : set_fact(into, fact->name, both.data);
}

int result_merge(struct results *into, const struct results *from, struct err *err)
{
	for (size_t i = 0; i < from->fact_count; i++)
		if (merge_fact(into, &from->facts[i]) < 0)
			return err_set(err, -ENOMEM, "out of memory, or too many facts");
	if (series_set_merge(&into->all, &from->all) < 0)
		return err_set(err, -ENOSPC, "more than %d series", SERIES_MAX);
	if (from->elapsed_ns > into->elapsed_ns)
		into->elapsed_ns = from->elapsed_ns;
	into->slices += from->slices;
	into->cut_bytes += from->cut_bytes;
	into->runs += from->runs;
	into->ended += from->ended;
	return 0;
}

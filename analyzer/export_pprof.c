/*
 * export_pprof.c - pprof's profile.proto (github.com/google/pprof, proto/profile.proto), gzip'd: a protobuf written by hand.
 *
 * Every message is a handful of varints, so no generator is needed: a field is its key (number << 3 | wire type) and a varint,
 * or a length and bytes. Zeros are the defaults and left out, but for packed values.
 * - Frames that were inlined share a location with the function that they stand in: its lines, innermost first.
 * - Addresses are run-time addresses where the snapshot is at hand, else those of the file. They are inside the call already.
 * - Mappings say that they have functions, files and lines: pprof would otherwise look for the programs on its machine.
 * - Time has samples and nanoseconds. Memory has pprof's own four kinds and the peak; the one that was asked for is the
 *   default. What was lost stands in the comments ("pprof -comments").
 */
#include "export.h"
#include "export_pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "arena.h"
#include "clean_text.h"
#include "export_modules.h"
#include "export_parts.h"
#include "functions.h"
#include "intern.h"
#include "join.h"
#include "model.h"
#include "profile.h"

/* Field numbers of profile.proto. */
enum profile_field {
	P_SAMPLE_TYPE = 1,
	P_SAMPLE = 2,
	P_MAPPING = 3,
	P_LOCATION = 4,
	P_FUNCTION = 5,
	P_STRING = 6,
	P_TIME_NANOS = 9,
	P_DURATION_NANOS = 10,
	P_PERIOD_TYPE = 11,
	P_PERIOD = 12,
	P_COMMENT = 13,
	P_DEFAULT_TYPE = 14,
};
enum type_field { T_TYPE = 1, T_UNIT = 2 };
enum sample_field { S_LOCATION = 1, S_VALUE = 2, S_LABEL = 3 };
enum label_field { L_KEY = 1, L_STRING = 2, L_NUMBER = 3 };
enum mapping_field { M_ID = 1, M_START = 2, M_LIMIT = 3, M_FILE = 5, M_BUILD_ID = 6, M_HAS_FIRST = 7, M_HAS_LAST = 10 };
enum location_field { O_ID = 1, O_MAPPING = 2, O_ADDRESS = 3, O_LINE = 4 };
enum line_field { I_FUNCTION = 1, I_LINE = 2 };
enum function_field { F_ID = 1, F_NAME = 2, F_SYSTEM_NAME = 3, F_FILE = 4, F_START_LINE = 5 };

/* A column of values: what it is called, which profile of the join it is of, and whether that one's blocks. */
struct column {
	const char *type, *unit;
	size_t profile;
	bool count;
	uint64_t scale;
};

struct writer {
	const struct profile *p;
	const struct export_options *o;
	struct join join;
	struct export_modules modules;
	struct column columns[EXPORT_PPROF_COLUMNS];
	size_t column_count, default_column;
	struct arena arena;
	struct intern strings, functions, locations;
	uint32_t *of_frame; /* join's frame -> function's number */
	struct buf out, message, part, text;
	bool failed;
};

/* ---- protobuf ---- */

static void varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_add_char(b, (char)(v | 0x80));
	buf_add_char(b, (char)v);
}

static void number(struct buf *b, uint32_t field, uint64_t v)
{
	if (v == 0)
		return;
	varint(b, field << 3);
	varint(b, v);
}

static void bytes(struct buf *b, uint32_t field, const void *data, size_t len)
{
	varint(b, field << 3 | 2);
	varint(b, len);
	buf_add(b, data, len);
}

static void message(struct writer *w, uint32_t field)
{
	bytes(&w->out, field, w->message.data, w->message.len);
	w->failed |= w->message.failed;
	buf_clear(&w->message);
}

static void part(struct writer *w, uint32_t field)
{
	bytes(&w->message, field, w->part.data, w->part.len);
	w->failed |= w->part.failed;
	buf_clear(&w->part);
}

/* The string's number; the empty one's is 0. */
static uint64_t string(struct writer *w, const char *text)
{
	int64_t i;

	buf_clear(&w->text);
	clean_text(&w->text, text);
	i = w->text.failed || !text[0] ? 0 : intern_add(&w->strings, w->text.data, w->text.len);
	w->failed |= w->text.failed || i == INTERN_FAILED;
	return i == INTERN_FAILED ? 0 : (uint64_t)i;
}

static void value_type(struct writer *w, uint32_t field, const char *type, const char *unit)
{
	number(&w->message, T_TYPE, string(w, type));
	number(&w->message, T_UNIT, string(w, unit));
	message(w, field);
}

/* ---- columns ---- */

static void add_column(struct writer *w, const char *type, const char *unit, size_t profile, bool count, uint64_t scale)
{
	w->columns[w->column_count++] = (struct column){ type, unit, profile, count, scale };
}

static void choose_memory(struct writer *w)
{
	static const struct column all[] = {
		{ "alloc_objects", "count", EXPORT_ALLOC_COUNT, false, 1 },
		{ "alloc_space", "bytes", EXPORT_ALLOC, false, 1 },
		{ "inuse_objects", "count", EXPORT_LIVE_COUNT, false, 1 },
		{ "inuse_space", "bytes", EXPORT_LIVE, false, 1 },
		{ "peak_objects", "count", EXPORT_PEAK, true, 1 },
		{ "peak_space", "bytes", EXPORT_PEAK, false, 1 },
	};
	static const struct {
		enum profile_metric metric;
		size_t column;
	} defaults[] = { { METRIC_ALLOC_COUNT, 0 },
		         { METRIC_ALLOC, 1 },
		         { METRIC_LIVE_COUNT, 2 },
		         { METRIC_LIVE, 3 },
		         { METRIC_PEAK, 5 } };

	memcpy(w->columns, all, sizeof(all));
	w->column_count = ARRAY_LEN(all);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (defaults[i].metric == w->p->metric)
			w->default_column = defaults[i].column;
}

/* Profiles to join, and the columns made of them. Returns how many profiles. */
static size_t choose(struct writer *w, const struct profile *profiles[JOIN_MAX])
{
	const struct profile *p = w->p;
	const char *name = profile_metric_name(p->metric);

	if (export_is_of_memory(p) && w->o->memory[0]) {
		memcpy(profiles, w->o->memory, sizeof(w->o->memory));
		choose_memory(w);
		return EXPORT_MEMORY_COUNT;
	}
	profiles[0] = p;
	if (p->period_ns) {
		add_column(w, "samples", "count", 0, false, 1);
		add_column(w, name, "nanoseconds", 0, false, p->period_ns);
	} else {
		bool in_bytes = strcmp(profile_metric_unit(p->metric), "bytes") == 0;

		if (in_bytes)
			add_column(w, "objects", "count", 0, true, 1);
		add_column(w, name, in_bytes ? "bytes" : "count", 0, false, 1);
	}
	w->default_column = w->column_count - 1;
	return 1;
}

size_t export_pprof_columns(const struct profile *p, const struct export_options *o,
                            struct export_pprof_column ret[EXPORT_PPROF_COLUMNS])
{
	struct writer w = { .p = p, .o = o };
	const struct profile *profiles[JOIN_MAX];

	(void)choose(&w, profiles);
	for (size_t i = 0; i < w.column_count; i++)
		ret[i] = (struct export_pprof_column){ w.columns[i].type, w.columns[i].unit };
	return w.column_count;
}

/* ---- tables ---- */

/* Functions are told apart by name, module and file; the module is told by the location. */
static int number_functions(struct writer *w)
{
	const struct profile_frame *frames = w->join.frames;

	w->of_frame = calloc(w->join.frame_count + 1, sizeof(*w->of_frame));
	if (!w->of_frame)
		return -ENOMEM;
	for (size_t i = 0; i < w->join.frame_count; i++) {
		uint64_t key[2] = { string(w, frames[i].function), string(w, frames[i].file ? frames[i].file : "") };
		int64_t f = intern_add(&w->functions, key, sizeof(key));

		if (f == INTERN_FAILED)
			return -ENOMEM;
		w->of_frame[i] = (uint32_t)f;
	}
	return w->failed ? -ENOMEM : 0;
}

static void write_functions(struct writer *w)
{
	for (size_t i = 0; i < w->functions.count; i++) {
		const uint64_t *key = w->functions.keys[i];

		number(&w->message, F_ID, i + 1);
		number(&w->message, F_NAME, key[0]);
		number(&w->message, F_SYSTEM_NAME, key[0]);
		number(&w->message, F_FILE, key[1]);
		message(w, P_FUNCTION);
	}
}

static void write_mapping(struct writer *w, size_t i)
{
	const struct export_module *m = &w->modules.items[i];
	struct buf id = { 0 };

	export_build_id(&id, m);
	number(&w->message, M_ID, i + 1);
	number(&w->message, M_START, m->about ? m->about->start : 0);
	number(&w->message, M_LIMIT, m->about ? m->about->end : 0);
	number(&w->message, M_FILE, string(w, m->path));
	number(&w->message, M_BUILD_ID, string(w, id.data ? id.data : ""));
	for (uint32_t field = M_HAS_FIRST; field <= M_HAS_LAST; field++)
		number(&w->message, field, 1);
	message(w, P_MAPPING);
	w->failed |= id.failed;
	buf_done(&id);
}

static bool is_main(const struct export_module *m)
{
	return m->about && (m->about->flags & SNAP_MODULE_MAIN);
}

/* The program comes first: pprof names the profile after it. */
static void write_mappings(struct writer *w)
{
	for (int main_first = 1; main_first >= 0; main_first--)
		for (size_t i = 0; i < w->modules.count; i++)
			if (is_main(&w->modules.items[i]) == (main_first == 1))
				write_mapping(w, i);
}

/* Key: the frames of a location, innermost first. */
static void write_locations(struct writer *w)
{
	for (size_t i = 0; i < w->locations.count; i++) {
		const uint32_t *list = w->locations.keys[i];
		size_t n = w->locations.key_bytes[i] / sizeof(*list);
		const struct profile_frame *outer = &w->join.frames[list[n - 1]];
		uint32_t module = w->modules.of_frame[list[n - 1]];
		const struct model_module *about = module == EXPORT_NO_MODULE ? NULL : w->modules.items[module].about;

		number(&w->message, O_ID, i + 1);
		number(&w->message, O_MAPPING, module == EXPORT_NO_MODULE ? 0 : module + UINT64_C(1));
		number(&w->message, O_ADDRESS, outer->offset + (about ? about->bias : 0));
		for (size_t k = 0; k < n; k++) {
			number(&w->part, I_FUNCTION, w->of_frame[list[k]] + UINT64_C(1));
			number(&w->part, I_LINE, w->join.frames[list[k]].line);
			part(w, O_LINE);
		}
		message(w, P_LOCATION);
	}
}

static void write_label(struct writer *w, const char *key, const char *text, uint64_t value)
{
	number(&w->part, L_KEY, string(w, key));
	number(&w->part, L_STRING, text ? string(w, text) : 0);
	number(&w->part, L_NUMBER, value);
	part(w, S_LABEL);
}

/* Frames leaf first, cut into locations behind each one that is not inlined. A stack without frames has no location. */
static int write_stack(struct writer *w, const struct join_stack *s)
{
	for (uint32_t i = 0, first = 0; i < s->depth; i++) {
		int64_t location;

		if (w->join.frames[s->frames[i]].inlined && i + 1 < s->depth)
			continue;
		location = intern_add(&w->locations, s->frames + first, (i + 1 - first) * sizeof(*s->frames));
		if (location == INTERN_FAILED)
			return -ENOMEM;
		varint(&w->part, (uint64_t)location + 1);
		first = i + 1;
	}
	part(w, S_LOCATION);
	for (size_t c = 0; c < w->column_count; c++) {
		const struct column *column = &w->columns[c];
		uint64_t v = column->count ? s->count[column->profile] : s->value[column->profile];

		varint(&w->part, v * column->scale);
	}
	part(w, S_VALUE);
	if (s->thread < w->p->thread_count) {
		write_label(w, "thread", w->p->threads[s->thread].name, 0);
		write_label(w, "thread_id", NULL, w->p->threads[s->thread].tid);
	}
	message(w, P_SAMPLE);
	return 0;
}

static int write_stacks(struct writer *w)
{
	int rc = 0;

	for (size_t i = 0; i < w->join.stack_count && rc == 0; i++) {
		const struct join_stack *s = &w->join.stacks[i];

		if (w->o->tid == EXPORT_ALL_THREADS ||
		    (s->thread < w->p->thread_count && w->p->threads[s->thread].tid == w->o->tid))
			rc = write_stack(w, s);
	}
	return rc;
}

static void write_comment(struct writer *w, const char *before, const char *text)
{
	struct buf line = { 0 };

	buf_add_str(&line, before);
	buf_add_str(&line, text);
	varint(&w->out, P_COMMENT << 3); /* repeated: also when 0 */
	varint(&w->out, string(w, line.data ? line.data : ""));
	w->failed |= line.failed;
	buf_done(&line);
}

static void write_about(struct writer *w)
{
	const struct profile *p = w->p;
	struct buf text = { 0 };

	if (p->period_ns)
		value_type(w, P_PERIOD_TYPE, profile_metric_name(p->metric), "nanoseconds");
	else
		value_type(w, P_PERIOD_TYPE, "space", "bytes");
	number(&w->out, P_PERIOD,
	       p->period_ns                                      ? p->period_ns
	       : w->o->model && w->o->model->heap_interval_bytes ? w->o->model->heap_interval_bytes
	                                                         : 1);
	number(&w->out, P_TIME_NANOS, p->start_wall_ns);
	number(&w->out, P_DURATION_NANOS, p->end_ns > p->start_ns ? p->end_ns - p->start_ns : 0);
	number(&w->out, P_DEFAULT_TYPE, string(w, w->columns[w->default_column].type));
	export_title(&text, p);
	write_comment(w, "perfprobe " PERFPROBE_VERSION ": ", text.data ? text.data : "");
	write_comment(w, "command: ", p->cmdline);
	buf_clear(&text);
	export_losses(&text, p);
	write_comment(w, "lost: ", text.data ? text.data : "");
	w->failed |= text.failed;
	buf_done(&text);
}

static int write_all(struct writer *w)
{
	int rc;

	if (intern_add(&w->strings, "", 0) != 0) /* the first is the empty one */
		return -ENOMEM;
	for (size_t i = 0; i < w->column_count; i++)
		value_type(w, P_SAMPLE_TYPE, w->columns[i].type, w->columns[i].unit);
	rc = number_functions(w);
	if (rc == 0)
		rc = write_stacks(w);
	if (rc < 0)
		return rc;
	write_mappings(w);
	write_locations(w);
	write_functions(w);
	write_about(w);
	for (size_t i = 0; i < w->strings.count; i++)
		bytes(&w->out, P_STRING, w->strings.keys[i], w->strings.key_bytes[i]);
	return w->failed || w->out.failed ? -ENOMEM : 0;
}

/* Appends `in` as one gzip member (RFC 1952). */
static int add_gzip(struct buf *out, const struct buf *in)
{
	z_stream z = { .next_in = (Bytef *)in->data };
	size_t left = in->len;
	unsigned char chunk[16384];
	int rc = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);

	if (rc != Z_OK)
		return -ENOMEM;
	while (rc != Z_STREAM_END) {
		uInt now = left > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)left; /* zlib counts in 32 bits */

		if (z.avail_in == 0) {
			z.avail_in = now;
			left -= now;
		}
		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		rc = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH); /* cannot fail: there is always room */
		buf_add(out, chunk, sizeof(chunk) - z.avail_out);
		buf_pour(out);
	}
	(void)deflateEnd(&z); /* all was taken out */
	return 0;
}

int export_pprof(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct writer w = { .p = p, .o = o };
	const struct profile *profiles[JOIN_MAX];
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0)
		rc = join_build(profiles, choose(&w, profiles), &w.join, err);
	if (rc < 0)
		return rc;
	w.strings.arena = w.functions.arena = w.locations.arena = &w.arena;
	rc = export_modules_get(w.join.frames, w.join.frame_count, o->model, &w.modules);
	if (rc == 0)
		rc = write_all(&w);
	if (rc == 0)
		rc = add_gzip(out, &w.out);
	if (rc < 0)
		rc = err_set(err, rc, "out of memory for the profile");
	buf_done(&w.out);
	buf_done(&w.message);
	buf_done(&w.part);
	buf_done(&w.text);
	intern_done(&w.strings);
	intern_done(&w.functions);
	intern_done(&w.locations);
	arena_done(&w.arena);
	free(w.of_frame);
	export_modules_done(&w.modules);
	join_done(&w.join);
	return rc;
}

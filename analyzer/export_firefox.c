/*
 * export_firefox.c - the Firefox Profiler's "processed profile", version 60 (its src/types/profile.ts; the profiler upgrades
 * older versions when it loads them). Version 60 is the first whose tables all threads share.
 *
 * Everything is a table of columns of one "length". Strings, functions, frames and stacks are numbers into "shared"; a stack is a
 * frame and the stack that called it, which stands before it. Times are milliseconds since recording began.
 * Samples older than the window have no time: they stand at the thread's start, each stack once with its weight.
 * Requests and marks are markers of a thread of their own, so that overlapping ones stand on rows below each other.
 * What was lost stands in "extra", which the profiler shows under "more info". "symbolicated" keeps it from asking a server.
 */
#include "export_firefox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "export.h"
#include "export_parts.h"
#include "units.h"

enum { FORMAT = 60, GECKO_FORMAT = 32 };

/* ---- tables ---- */

static uint64_t string_number(struct firefox *w, const char *text)
{
	int64_t i;

	buf_clear(&w->text);
	clean_text(&w->text, text);
	buf_add(&w->text, "", 0); /* a string of no bytes is one too */
	i = w->text.failed ? INTERN_FAILED : intern_add(&w->strings, w->text.data, w->text.len);
	w->failed |= i == INTERN_FAILED;
	return i == INTERN_FAILED ? 0 : (uint64_t)i;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void firefox_number(struct firefox *w, uint64_t n, bool known)
{
	if (known)
		json_u64(&w->json, n);
	else
		json_null(&w->json);
	buf_pour(w->json.out);
}

/* n equal values. */
static void constant(struct firefox *w, const char *key, const char *value, size_t n)
{
	json_key(&w->json, key);
	json_array_begin(&w->json);
	for (size_t i = 0; i < n; i++) {
		json_raw(&w->json, value);
		buf_pour(w->json.out);
	}
	json_array_end(&w->json);
}

void firefox_table(struct firefox *w, const char *key, size_t length)
{
	json_key(&w->json, key);
	json_object_begin(&w->json);
	json_key_u64(&w->json, "length", length);
}

#define COLUMN(w, key, n, value, known)                        \
	do {                                                   \
		json_key(&(w)->json, key);                     \
		json_array_begin(&(w)->json);                  \
		for (size_t i = 0; i < (n); i++)               \
			firefox_number((w), (value), (known)); \
		json_array_end(&(w)->json);                    \
	} while (0)

/* ---- what all threads share ---- */

/* Node 0 would be the empty stack: numbers in the file are one less. */
static int add_stack(struct firefox *w, const struct profile_stack *s, uint32_t *ret)
{
	struct firefox_node node = { 0, (uint32_t)w->p->frame_count };
	uint32_t inline_depth = 0;
	int64_t number = 0;

	for (uint32_t i = s->depth; i-- > 0 || s->depth == 0;) {
		if (s->depth) {
			node.frame = s->frames[i];
			inline_depth = w->p->frames[node.frame].inlined ? inline_depth + 1 : 0;
			w->inline_depth[node.frame] = inline_depth;
		}
		number = intern_add(&w->nodes, &node, sizeof(node));
		if (number == INTERN_FAILED)
			return -ENOMEM;
		node.parent1 = (uint32_t)number + 1;
		if (s->depth == 0)
			break;
	}
	*ret = (uint32_t)number;
	return 0;
}

static int add_stacks(struct firefox *w)
{
	int rc = 0;

	w->end_of_stack = calloc(w->p->stack_count + 1, sizeof(*w->end_of_stack));
	w->inline_depth = calloc(w->p->frame_count + 1, sizeof(*w->inline_depth));
	w->module_of = calloc(w->functions.count + 1, sizeof(*w->module_of));
	if (!w->end_of_stack || !w->inline_depth || !w->module_of)
		return -ENOMEM;
	memset(w->module_of, 0xff, w->functions.count * sizeof(*w->module_of)); /* EXPORT_NO_MODULE */
	for (size_t i = 0; i < w->p->frame_count; i++)
		w->module_of[w->functions.of_frame[0][i]] = w->modules.of_frame[i];
	for (size_t i = 0; i < w->p->stack_count && rc == 0; i++)
		rc = add_stack(w, &w->p->stacks[i], &w->end_of_stack[i]);
	return rc;
}

static void write_stacks(struct firefox *w)
{
	const struct firefox_node *const *nodes = (const struct firefox_node *const *)w->nodes.keys;

	firefox_table(w, "stackTable", w->nodes.count);
	COLUMN(w, "frame", w->nodes.count, nodes[i]->frame, true);
	COLUMN(w, "prefix", w->nodes.count, nodes[i]->parent1 - UINT64_C(1), nodes[i]->parent1 != 0);
	json_object_end(&w->json);
}

/* One frame more than the profile has: "[unknown]", of stacks without frames. */
static void write_frames(struct firefox *w)
{
	const struct profile *p = w->p;
	size_t known = p->frame_count, n = known + (w->functions.unknown != UINT32_MAX);

	firefox_table(w, "frameTable", n);
	json_key(&w->json, "address");
	json_array_begin(&w->json);
	for (size_t i = 0; i < n; i++) {
		if (i < known && p->frames[i].module[0] && p->frames[i].offset < INT64_MAX)
			json_u64(&w->json, p->frames[i].offset);
		else
			json_i64(&w->json, -1);
	}
	json_array_end(&w->json);
	COLUMN(w, "inlineDepth", n, i < known ? w->inline_depth[i] : 0, true);
	constant(w, "category", "1", n);
	constant(w, "subcategory", "0", n);
	COLUMN(w, "func", n, i < known ? w->functions.of_frame[0][i] : w->functions.unknown, true);
	constant(w, "nativeSymbol", "null", n);
	constant(w, "innerWindowID", "0", n);
	COLUMN(w, "line", n, i < known ? p->frames[i].line : 0, i < known && p->frames[i].file && p->frames[i].line);
	constant(w, "column", "null", n);
	json_object_end(&w->json);
}

static void write_functions(struct firefox *w)
{
	const struct function *f = w->functions.items;
	size_t n = w->functions.count;

	firefox_table(w, "funcTable", n);
	COLUMN(w, "name", n, string_number(w, f[i].name), true);
	constant(w, "isJS", "false", n);
	constant(w, "relevantForJS", "false", n);
	json_key(&w->json, "resource");
	json_array_begin(&w->json);
	for (size_t i = 0; i < n; i++)
		json_i64(&w->json, w->module_of[i] == EXPORT_NO_MODULE ? -1 : (int64_t)w->module_of[i]);
	json_array_end(&w->json);
	json_key(&w->json, "source");
	json_array_begin(&w->json);
	for (size_t i = 0; i < n; i++) {
		uint64_t name = f[i].file ? string_number(w, f[i].file) : 0;
		int64_t source = f[i].file ? intern_add(&w->sources, &name, sizeof(name)) : 0;

		w->failed |= source == INTERN_FAILED;
		firefox_number(w, (uint64_t)source, f[i].file != NULL);
	}
	json_array_end(&w->json);
	constant(w, "lineNumber", "null", n);
	constant(w, "columnNumber", "null", n);
	json_object_end(&w->json);
}

static void write_shared(struct firefox *w)
{
	size_t modules = w->modules.count;

	json_key(&w->json, "shared");
	json_object_begin(&w->json);
	write_stacks(w);
	write_frames(w);
	write_functions(w);
	firefox_table(w, "nativeSymbols", 0);
	constant(w, "libIndex", "", 0);
	constant(w, "address", "", 0);
	constant(w, "name", "", 0);
	constant(w, "functionSize", "", 0);
	json_object_end(&w->json);
	firefox_table(w, "resourceTable", modules);
	COLUMN(w, "lib", modules, i, true);
	COLUMN(w, "name", modules, string_number(w, base_name(w->modules.items[i].path)), true);
	constant(w, "host", "null", modules);
	constant(w, "type", "1", modules); /* a library */
	json_object_end(&w->json);
	firefox_table(w, "sources", w->sources.count);
	constant(w, "id", "null", w->sources.count);
	COLUMN(w, "filename", w->sources.count, *(const uint64_t *)w->sources.keys[i], true);
	json_object_end(&w->json);
	json_key(&w->json, "stringArray");
	json_array_begin(&w->json);
	for (size_t i = 0; i < w->strings.count; i++)
		json_string_n(&w->json, w->strings.keys[i], w->strings.key_bytes[i]);
	json_array_end(&w->json);
	json_object_end(&w->json);
}

/* The first 16 bytes of a build-id as a GUID, whose first three fields are little-endian numbers, and the age 0. */
static void write_breakpad_id(struct firefox *w, const struct model_module *m)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	buf_clear(&w->text);
	for (size_t i = 0; i < sizeof(order); i++)
		buf_printf(&w->text, "%02X", m && order[i] < m->build_id_bytes ? m->build_id[order[i]] : 0);
	buf_add_char(&w->text, '0');
	json_key_string(&w->json, "breakpadId", w->text.data ? w->text.data : "");
}

static void write_libs(struct firefox *w)
{
	json_key(&w->json, "libs");
	json_array_begin(&w->json);
	for (size_t i = 0; i < w->modules.count; i++) {
		const struct export_module *m = &w->modules.items[i];

		json_object_begin(&w->json);
		json_key_string(&w->json, "arch", w->o->model && w->o->model->machine ? w->o->model->machine : "");
		export_key_text(&w->json, &w->text, "name", base_name(m->path));
		export_key_text(&w->json, &w->text, "path", m->path);
		export_key_text(&w->json, &w->text, "debugName", base_name(m->path));
		export_key_text(&w->json, &w->text, "debugPath", m->path);
		write_breakpad_id(w, m->about);
		buf_clear(&w->text);
		export_build_id(&w->text, m);
		json_key_string(&w->json, "codeId", w->text.len ? w->text.data : NULL);
		json_object_end(&w->json);
	}
	json_array_end(&w->json);
}

/* ---- about ---- */

static void write_category(struct firefox *w, const char *name, const char *colour)
{
	json_object_begin(&w->json);
	json_key_string(&w->json, "name", name);
	json_key_string(&w->json, "color", colour);
	json_key(&w->json, "subcategories");
	json_raw(&w->json, "[\"Other\"]");
	json_object_end(&w->json);
}

static void write_losses(struct firefox *w)
{
	json_key(&w->json, "extra");
	json_array_begin(&w->json);
	json_object_begin(&w->json);
	json_key_string(&w->json, "label", "Lost while recording");
	json_key(&w->json, "entries");
	json_array_begin(&w->json);
	for (size_t i = 0; i < w->p->loss_count; i++) {
		json_object_begin(&w->json);
		export_key_text(&w->json, &w->text, "label", w->p->losses[i].name);
		json_key_string(&w->json, "format", "integer");
		json_key_u64(&w->json, "value", w->p->losses[i].count);
		json_object_end(&w->json);
	}
	json_array_end(&w->json);
	json_object_end(&w->json);
	json_array_end(&w->json);
}

static void write_meta(struct firefox *w)
{
	const struct profile *p = w->p;
	struct json *j = &w->json;
	double length_ms = firefox_ms(p, p->end_ns);

	json_key(j, "meta");
	json_object_begin(j);
	json_key(j, "categories");
	json_array_begin(j);
	write_category(w, "Other", "grey");
	write_category(w, "User", "yellow");
	json_array_end(j);
	json_key_bool(j, "debug", false);
	json_key(j, "extensions");
	json_raw(j, "{\"length\":0,\"baseURL\":[],\"id\":[],\"name\":[]}");
	json_key_double(j, "interval", p->period_ns ? (double)p->period_ns / 1e6 : 1);
	json_key_u64(j, "preprocessedProfileVersion", FORMAT);
	json_key_u64(j, "version", GECKO_FORMAT);
	json_key_u64(j, "processType", 0);
	buf_clear(&w->title);
	export_title(&w->title, p);
	export_key_text(j, &w->text, "product", w->title.data ? w->title.data : "");
	json_key_string(j, "importedFrom", "perfprobe " PERFPROBE_VERSION);
	export_key_text(j, &w->text, "arguments", p->cmdline);
	json_key_string(j, "oscpu", "Linux");
	json_key_u64(j, "stackwalk", 1);
	json_key_double(j, "startTime", (double)p->start_wall_ns / 1e6);
	json_key_u64(j, "startTimeAsClockMonotonicNanosecondsSinceBoot", p->start_ns);
	json_key_double(j, "profilingStartTime", 0);
	json_key_double(j, "profilingEndTime", length_ms);
	json_key(j, "sampleUnits");
	json_raw(j, "{\"time\":\"ms\",\"eventDelay\":\"ms\",\"threadCPUDelta\":\"\xc2\xb5s\"}");
	json_key_bool(j, "symbolicated", true);
	json_key_bool(j, "usesOnlyOneStackType", true);
	json_key_bool(j, "sourceCodeIsNotOnSearchfox", true);
	json_key_bool(j, "keepProfileThreadOrder", true);
	firefox_marker_schema(w);
	write_losses(w);
	json_object_end(j);
}

static int write_all(struct firefox *w)
{
	int rc;

	json_object_begin(&w->json);
	write_meta(w);
	write_libs(w);
	json_key(&w->json, "pages");
	json_raw(&w->json, "[]");
	rc = firefox_threads(w);
	write_shared(w); /* last: all strings are known */
	json_object_end(&w->json);
	return rc;
}

uint64_t firefox_string(struct firefox *w, const char *text)
{
	return string_number(w, text);
}

double firefox_ms(const struct profile *p, uint64_t at_ns)
{
	return at_ns > p->start_ns ? (double)(at_ns - p->start_ns) / 1e6 : 0;
}

int export_firefox(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct firefox w = { .p = p, .o = o };
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0)
		rc = functions_build(&p, 1, &w.functions, err);
	if (rc < 0)
		return rc;
	w.strings.arena = w.sources.arena = w.nodes.arena = &w.arena;
	json_init(&w.json, out);
	rc = export_modules_get(p->frames, p->frame_count, o->model, &w.modules);
	if (rc == 0)
		rc = add_stacks(&w);
	if (rc == 0)
		rc = write_all(&w);
	buf_add_char(out, '\n');
	if (rc < 0 || w.failed)
		rc = err_set(err, -ENOMEM, "out of memory for the profile");
	out->failed |= w.text.failed | w.title.failed;
	buf_done(&w.text);
	buf_done(&w.title);
	intern_done(&w.strings);
	intern_done(&w.sources);
	intern_done(&w.nodes);
	arena_done(&w.arena);
	export_modules_done(&w.modules);
	functions_done(&w.functions);
	free(w.end_of_stack);
	free(w.inline_depth);
	free(w.module_of);
	return rc;
}

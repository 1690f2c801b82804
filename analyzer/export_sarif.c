#include "export_sarif.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "headline.h"
#include "json_write.h"
#include "model.h"
#include "units.h"
#include "view_leaks.h"

enum rule { RULE_DIRECT, RULE_INDIRECT, RULE_SUSPECT, RULE_COUNT };

static const struct {
	const char *id, *name, *level, *text;
} rules[RULE_COUNT] = {
	{ "leak/direct", "DirectLeak", "error", "Memory that nothing points to any more" },
	{ "leak/indirect", "IndirectLeak", "warning", "Memory that only leaked memory points to" },
	{ "leak/suspect", "GrowingMemory", "note", "Memory that grows and may never be freed" },
};

struct stack {
	const struct profile_frame *frames;
	const uint32_t *list;
	uint32_t depth;
};

static void text_object(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_object_begin(j);
	json_key_string(j, "text", text);
	json_object_end(j);
}

/* A path as a URI (RFC 3986): absolute ones get their scheme, other bytes than those free in a path are escaped. */
static void artifact(struct json *j, const char *path)
{
	struct buf uri = { 0 };

	buf_add_str(&uri, path[0] == '/' ? "file://" : "");
	for (const unsigned char *c = (const unsigned char *)path; *c; c++)
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
		    strchr("-._~/+", *c))
			buf_add_char(&uri, (char)*c);
		else
			buf_printf(&uri, "%%%02X", *c);
	j->out->failed |= uri.failed;
	json_key(j, "artifactLocation");
	json_object_begin(j);
	json_key_string(j, "uri", uri.data ? uri.data : "");
	json_object_end(j);
	buf_done(&uri);
}

/* An object: source line, or else the module; and the function. */
static void location(struct json *j, const struct profile_frame *f, const char *message)
{
	bool has_line = f->file && f->line;
	const char *path = has_line ? f->file : f->module;

	json_object_begin(j);
	if (path[0]) {
		json_key(j, "physicalLocation");
		json_object_begin(j);
		artifact(j, path);
		if (has_line) {
			json_key(j, "region");
			json_object_begin(j);
			json_key_u64(j, "startLine", f->line);
			json_object_end(j);
		}
		json_object_end(j);
	}
	json_key(j, "logicalLocations");
	json_array_begin(j);
	json_object_begin(j);
	json_key_string(j, "fullyQualifiedName", f->function);
	json_key_string(j, "kind", "function");
	json_object_end(j);
	json_array_end(j);
	if (message)
		text_object(j, "message", message);
	json_object_end(j);
}

static const struct profile_frame *head_frame(const struct stack *s)
{
	static const struct profile_frame unknown = { .function = "[unknown]", .module = "" };

	return s->depth ? &s->frames[s->list[headline_find(s->frames, s->list, s->depth, 1)]] : &unknown;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The same leak in another run or another build: functions and modules, no lines, no addresses. */
static void fingerprint(struct json *j, const struct stack *s, const char *rule)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	char text[24];

	for (const char *c = rule; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	for (uint32_t i = 0; i < s->depth; i++) {
		const struct profile_frame *f = &s->frames[s->list[i]];
		const char *const parts[] = { f->function, base_name(f->module) };

		for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
			for (const char *c = parts[k]; *c; c++)
				hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
			hash = (hash ^ 0xff) * UINT64_C(0x100000001b3); /* between two texts */
		}
	}
	(void)snprintf(text, sizeof(text), "%016" PRIx64, hash);
	json_key(j, "partialFingerprints");
	json_object_begin(j);
	json_key_string(j, "allocationStack/v1", text);
	json_object_end(j);
}

static void stacks(struct json *j, const struct stack *s)
{
	json_key(j, "stacks");
	json_array_begin(j);
	json_object_begin(j);
	text_object(j, "message", "allocated by");
	json_key(j, "frames");
	json_array_begin(j);
	for (uint32_t i = 0; i < s->depth; i++) {
		const struct profile_frame *f = &s->frames[s->list[i]];

		json_object_begin(j);
		json_key(j, "location");
		location(j, f, NULL);
		if (f->module[0])
			json_key_string(j, "module", base_name(f->module));
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
	json_array_end(j);
}

static void result_begin(struct json *j, enum rule rule, const char *message, const struct stack *s)
{
	json_object_begin(j);
	json_key_string(j, "ruleId", rules[rule].id);
	json_key_u64(j, "ruleIndex", rule);
	json_key_string(j, "level", rules[rule].level);
	text_object(j, "message", message);
	json_key(j, "locations");
	json_array_begin(j);
	location(j, head_frame(s), NULL);
	json_array_end(j);
	stacks(j, s);
	fingerprint(j, s, rules[rule].id);
}

/* Of all results or of none, says the standard: of all. */
static void suppression(struct json *j, const struct view_leaks *in, size_t index)
{
	json_key(j, "suppressions");
	json_array_begin(j);
	if (index != SUPPRESSION_NONE) {
		const struct suppression *s = &in->suppressions->items[index];
		struct buf why = { 0 };

		buf_printf(&why, "leak:%s (%s", s->template, s->source);
		buf_printf(&why, s->line ? ":%u)" : ")", s->line);
		j->out->failed |= why.failed;
		json_object_begin(j);
		json_key_string(j, "kind", "external");
		json_key_string(j, "status", "accepted");
		json_key_string(j, "justification", why.data ? why.data : "");
		json_object_end(j);
		buf_done(&why);
	}
	json_array_end(j);
}

static void leak_message(const struct view_leaks *in, const struct leak *l, struct buf *out)
{
	char bytes[32], error[32];
	const char *function = head_frame(&(struct stack){ in->leaks->frames, l->frames, l->depth })->function;

	if (in->m->leaks.sampled)
		buf_printf(out, "At least %s (+- %s), allocated in %s, are leaked: nothing points to them.",
		           units_print_bytes(bytes, sizeof(bytes), l->all.bytes),
		           units_print_bytes(error, sizeof(error), (uint64_t)(l->error_bytes + 0.5)), function);
	else
		buf_printf(out, "%" PRIu64 " bytes in %" PRIu64 " blocks, allocated in %s, are leaked: %s.",
		           l->all.bytes, profile_whole(l->all.blocks), function,
		           l->indirect ? "only leaked memory points to them" : "nothing points to them");
	buf_add_str(out, l->confirmed.blocks >= l->all.blocks ? " Confirmed by a second check." : "");
}

static void leak_result(struct json *j, const struct view_leaks *in, const struct leak *l)
{
	const struct stack s = { in->leaks->frames, l->frames, l->depth };
	struct buf message = { 0 };

	leak_message(in, l, &message);
	j->out->failed |= message.failed;
	result_begin(j, l->indirect ? RULE_INDIRECT : RULE_DIRECT, message.data ? message.data : "", &s);
	buf_done(&message);
	if (l->owner != LEAK_NO_OWNER) {
		const struct leak *owner = &in->leaks->items[l->owner];

		json_key(j, "relatedLocations");
		json_array_begin(j);
		location(j, head_frame(&(struct stack){ in->leaks->frames, owner->frames, owner->depth }),
		         "held by the leak that was allocated here");
		json_array_end(j);
	}
	suppression(j, in, l->suppression);
	json_key(j, "properties");
	json_object_begin(j);
	json_key_u64(j, "bytes", l->all.bytes);
	json_key_u64(j, "blocks", profile_whole(l->all.blocks));
	json_key_bool(j, "lowerBound", in->m->leaks.sampled);
	json_key_bool(j, "confirmed", l->confirmed.blocks >= l->all.blocks);
	json_object_end(j);
	json_object_end(j);
}

static void suspect_result(struct json *j, const struct view_leaks *in, const struct suspect *s)
{
	const struct stack at = { in->suspects->frames, s->frames, s->depth };
	struct buf message = { 0 };
	char text[32];

	buf_printf(&message, "Memory allocated in %s grows by %s a minute (%s); it is reachable or was not checked.",
	           head_frame(&at)->function, units_print_bytes(text, sizeof(text), (uint64_t)(s->trend.slope + 0.5)),
	           suspect_certainty(s));
	j->out->failed |= message.failed;
	result_begin(j, RULE_SUSPECT, message.data ? message.data : "", &at);
	buf_done(&message);
	suppression(j, in, SUPPRESSION_NONE);
	json_key(j, "properties");
	json_object_begin(j);
	json_key_double(j, "bytesPerMinute", s->trend.slope);
	json_key_double(j, "confidence", suspect_confidence(s));
	json_key_u64(j, "bytes", s->bytes);
	json_key_u64(j, "blocks", s->blocks);
	json_object_end(j);
	json_object_end(j);
}

static void tool(struct json *j)
{
	json_key(j, "tool");
	json_object_begin(j);
	json_key(j, "driver");
	json_object_begin(j);
	json_key_string(j, "name", "perfprobe");
	json_key_string(j, "version", PERFPROBE_VERSION);
	json_key(j, "rules");
	json_array_begin(j);
	for (size_t i = 0; i < RULE_COUNT; i++) {
		json_object_begin(j);
		json_key_string(j, "id", rules[i].id);
		json_key_string(j, "name", rules[i].name);
		text_object(j, "shortDescription", rules[i].text);
		json_key(j, "defaultConfiguration");
		json_object_begin(j);
		json_key_string(j, "level", rules[i].level);
		json_object_end(j);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
	json_object_end(j);
}

static void notification(struct json *j, const char *level, const char *text, size_t len)
{
	json_object_begin(j);
	json_key_string(j, "level", level);
	json_key(j, "message");
	json_object_begin(j);
	json_key(j, "text");
	json_string_n(j, text, len);
	json_object_end(j);
	json_object_end(j);
}

static void invocation(struct json *j, const struct view_leaks *in)
{
	struct buf notes = { 0 };

	view_leaks_notes(in, &notes);
	j->out->failed |= notes.failed;
	json_key(j, "invocations");
	json_array_begin(j);
	json_object_begin(j);
	json_key_bool(j, "executionSuccessful", in->leaks != NULL);
	json_key(j, "toolExecutionNotifications");
	json_array_begin(j);
	if (!in->leaks) {
		const char *why = !in->m->leaks.recorded
		                          ? "Not checked for leaks: nothing is known about what can still be "
		                            "reached."
		                  : in->m->leaks.note[0] ? in->m->leaks.note
		                                         : "The check could not be done.";

		notification(j, "error", why, strlen(why));
	}
	for (char *line = notes.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
		notification(j, "note", line, (size_t)(end - line));
	json_array_end(j);
	json_object_end(j);
	json_array_end(j);
	buf_done(&notes);
}

void export_sarif(struct buf *out, const struct view_leaks *in)
{
	struct json j;
	uint64_t most = in->top ? in->top : UINT64_MAX;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
	json_key_string(&j, "version", "2.1.0");
	json_key(&j, "runs");
	json_array_begin(&j);
	json_object_begin(&j);
	tool(&j);
	invocation(&j, in);
	json_key(&j, "results");
	json_array_begin(&j);
	for (size_t i = 0; in->leaks && i < in->leaks->count && i < most; i++)
		leak_result(&j, in, &in->leaks->items[i]);
	for (size_t i = 0; in->suspects && i < in->suspects->count && i < most; i++)
		suspect_result(&j, in, &in->suspects->items[i]);
	json_array_end(&j);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

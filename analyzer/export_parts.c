#include "export_parts.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clean_text.h"
#include "functions.h"
#include "profile.h"

static const char *cleaned(struct buf *scratch, const char *text)
{
	buf_clear(scratch);
	clean_text(scratch, text);
	return scratch->len ? scratch->data : "";
}

void export_text(struct json *j, struct buf *scratch, const char *text)
{
	json_string(j, cleaned(scratch, text));
}

void export_key_text(struct json *j, struct buf *scratch, const char *key, const char *text)
{
	json_key_string(j, key, cleaned(scratch, text));
}

void export_title(struct buf *out, const struct profile *p)
{
	buf_printf(out, "%s, pid %llu: %s", p->comm, (unsigned long long)p->pid, profile_text(p));
}

void export_losses(struct buf *out, const struct profile *p)
{
	for (size_t i = 0; i < p->loss_count; i++) {
		buf_printf(out, "%s%llu ", i ? ", " : "", (unsigned long long)p->losses[i].count);
		clean_text(out, p->losses[i].name);
	}
	if (p->loss_count == 0)
		buf_add_str(out, "nothing");
}

void export_key_losses(struct json *j, struct buf *scratch, const struct profile *p)
{
	json_key(j, "losses");
	json_object_begin(j);
	for (size_t i = 0; i < p->loss_count; i++)
		json_key_u64(j, cleaned(scratch, p->losses[i].name), p->losses[i].count);
	json_object_end(j);
}

const char *export_place(const struct function *f)
{
	return f->file ? f->file : f->module;
}

void export_call_frame(struct json *j, struct buf *scratch, const char *name, const struct function *f,
                       uint32_t function)
{
	const char *path = f ? export_place(f) : "";
	bool has_line = f && f->file && f->line;
	char id[16] = "0";

	if (f)
		(void)snprintf(id, sizeof(id), "%u", function + 1);
	json_key(j, "callFrame");
	json_object_begin(j);
	export_key_text(j, scratch, "functionName", name);
	json_key_string(j, "scriptId", id);
	buf_clear(scratch);
	buf_add_str(scratch, path[0] == '/' ? "file://" : "");
	clean_text(scratch, path);
	json_key_string(j, "url", scratch->len ? scratch->data : "");
	json_key_i64(j, "lineNumber", has_line ? (int64_t)f->line - 1 : -1);
	json_key_i64(j, "columnNumber", has_line ? 0 : -1);
	json_object_end(j);
}

void export_line_name(struct buf *out, const char *name)
{
	size_t start = out->len;

	clean_text(out, name);
	if (out->failed)
		return;
	while (out->len > start && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	if (out->len == start)
		buf_add_str(out, "[unknown]");
}

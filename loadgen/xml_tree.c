#include "xml_tree.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

struct reader {
	XML_Parser parser;
	struct keep *keep;
	struct xml *root, *open;
	struct buf text; /* pieces of the open elements' texts: each element's begins at its mark */
	size_t marks[XML_TREE_DEPTH_MAX];
	uint32_t depth, nodes, first_line;
	const char *refused;
	uint32_t refused_line;
};

static uint32_t line(const struct reader *r)
{
	return r->first_line + (uint32_t)XML_GetCurrentLineNumber(r->parser) - 1;
}

static void refuse(struct reader *r, const char *reason)
{
	if (!r->refused) {
		r->refused = reason;
		r->refused_line = line(r);
	}
	(void)XML_StopParser(r->parser, XML_FALSE);
}

/* What came before a child is moved to the element at once: a child's text goes behind it. */
static void keep_pieces(struct reader *r)
{
	struct xml *x = r->open;
	size_t mark = r->marks[r->depth - 1], len = r->text.len - mark;
	char *all;

	if (len == 0)
		return;
	all = keep_large(r->keep, x->text_len + len + 1);
	if (all) {
		memcpy(all, x->text, x->text_len);
		memcpy(all + x->text_len, r->text.data + mark, len);
		x->text = all;
		x->text_len += len;
	}
	r->text.len = mark;
}

static void on_start(void *context, const char *name, const char **attributes)
{
	struct reader *r = context;
	struct xml *x = keep_alloc(r->keep, sizeof(*x));
	size_t n = 0;

	if (r->refused)
		return;
	if (r->depth == XML_TREE_DEPTH_MAX || ++r->nodes > XML_TREE_NODES_MAX)
		return refuse(r, r->depth == XML_TREE_DEPTH_MAX ? "nested too deeply" : "too many elements");
	if (r->open)
		keep_pieces(r);
	while (attributes[n])
		n++;
	x->attributes = keep_large(r->keep, (n + 1) * sizeof(*x->attributes));
	if (!x->attributes || r->keep->failed)
		return refuse(r, "out of memory");
	for (size_t i = 0; i < n; i++)
		x->attributes[i] = keep_text(r->keep, attributes[i], strlen(attributes[i]));
	x->name = keep_text(r->keep, name, strlen(name));
	x->text = "";
	x->line = line(r);
	x->parent = r->open;
	if (r->open && r->open->last)
		r->open->last->next = x;
	else if (r->open)
		r->open->first = x;
	if (r->open)
		r->open->last = x;
	else
		r->root = x;
	r->open = x;
	r->marks[r->depth++] = r->text.len;
}

static void on_end(void *context, const char *name)
{
	struct reader *r = context;

	(void)name;
	if (r->refused)
		return;
	keep_pieces(r);
	r->depth--;
	r->open = r->open->parent;
}

static void on_text(void *context, const char *text, int len)
{
	struct reader *r = context;

	if (r->refused || !r->open)
		return;
	buf_add(&r->text, text, (size_t)len);
	if (r->text.failed)
		refuse(r, "out of memory");
}

static void on_doctype(void *context, const char *name, const char *system, const char *public, int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	refuse(context, "a document type; plans have none");
}

int xml_tree_parse(struct keep *k, const char *text, size_t len, uint32_t first_line, struct xml **ret_root,
                   struct err *err)
{
	struct reader r = { .keep = k, .first_line = first_line, .parser = XML_ParserCreate(NULL) };
	bool ok;

	if (!r.parser)
		return err_set(err, -ENOMEM, "out of memory");
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	ok = len <= INT32_MAX && XML_Parse(r.parser, text, (int)len, XML_TRUE) == XML_STATUS_OK && !r.refused;
	if (!ok && r.refused)
		(void)err_set(err, -EPROTO, "%u: %s", r.refused_line, r.refused);
	else if (!ok)
		(void)err_set(err, -EPROTO, "%u: %s", line(&r), XML_ErrorString(XML_GetErrorCode(r.parser)));
	XML_ParserFree(r.parser);
	buf_done(&r.text);
	if (k->failed)
		return err_set(err, -ENOMEM, "out of memory");
	if (!ok)
		return -EPROTO;
	*ret_root = r.root;
	return 0;
}

const char *xml_tree_attribute(const struct xml *x, const char *name)
{
	for (size_t i = 0; x->attributes[i]; i += 2)
		if (strcmp(x->attributes[i], name) == 0)
			return x->attributes[i + 1];
	return NULL;
}

/* YAML by libyaml's events. Scalars are what js-yaml makes of them (YAML 1.2's core schema); merge keys ("<<") work. */
#include "doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "compiler.h"

enum { ANCHORS_MAX = 1024 };

struct anchor {
	const char *name;
	struct doc *node;
};

struct reader {
	struct keep *keep;
	struct err *err;
	yaml_parser_t parser;
	struct anchor anchors[ANCHORS_MAX];
	size_t anchor_count;
	uint32_t depth;
};

static struct doc *refuse(struct reader *r, uint32_t line, const char *reason)
{
	(void)err_set(r->err, -EPROTO, "%u: %s", line, reason);
	return NULL;
}

static bool next(struct reader *r, yaml_event_t *ret_event)
{
	if (yaml_parser_parse(&r->parser, ret_event))
		return true;
	(void)refuse(r, (uint32_t)r->parser.problem_mark.line + 1,
	             r->parser.problem ? r->parser.problem : "this is no YAML");
	return false;
}

static uint32_t line_of(const yaml_event_t *e)
{
	return (uint32_t)e->start_mark.line + 1;
}

static bool is_any(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* A plain scalar's kind. */
static void resolve(struct doc *d)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	const char *text = d->text + (d->text[0] == '+');
	char *end;

	if (is_any(d->text, nulls)) {
		d->kind = DOC_NULL;
	} else if (is_any(d->text, trues) || is_any(d->text, falses)) {
		d->kind = DOC_BOOL;
		d->number = is_any(d->text, trues);
	} else if (strncmp(text, "0x", 2) == 0 && text[2]) {
		d->number = (double)strtoull(text + 2, &end, 16);
		d->kind = *end ? DOC_STRING : DOC_NUMBER;
	} else if (doc_number(text, &d->number)) {
		d->kind = DOC_NUMBER;
	}
}

static struct doc *scalar(struct reader *r, const yaml_event_t *e)
{
	struct doc *d = doc_new(r->keep, DOC_STRING, line_of(e));

	d->len = e->data.scalar.length;
	d->text = keep_text(r->keep, (const char *)e->data.scalar.value, d->len);
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && e->data.scalar.plain_implicit)
		resolve(d);
	return d;
}

static struct doc *node(struct reader *r, yaml_event_t *e);

/* A node's place is taken before its content is read, so that an alias to what is not finished is known for what it is. */
static bool add_anchor(struct reader *r, const yaml_event_t *e, const yaml_char_t *name, size_t *ret_index)
{
	if (r->anchor_count == ANCHORS_MAX)
		return refuse(r, line_of(e), "too many anchors"), false;
	*ret_index = r->anchor_count;
	r->anchors[r->anchor_count++] =
	        (struct anchor){ keep_text(r->keep, (const char *)name, strlen((const char *)name)), NULL };
	return true;
}

static struct doc *alias(struct reader *r, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (size_t i = r->anchor_count; i-- > 0;) {
		if (strcmp(r->anchors[i].name, name) != 0)
			continue;
		return r->anchors[i].node ? r->anchors[i].node
		                          : refuse(r, line_of(e), "an alias inside its own anchor");
	}
	(void)err_set(r->err, -EPROTO, "%u: there is no anchor '%s'", line_of(e), name);
	return NULL;
}

static struct doc *sequence(struct reader *r, const yaml_event_t *begin)
{
	struct doc *d = doc_new(r->keep, DOC_LIST, line_of(begin));

	for (;;) {
		yaml_event_t e;
		struct doc *item;

		if (!next(r, &e))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			return d;
		}
		item = node(r, &e);
		if (!item)
			return NULL;
		if (!doc_add(r->keep, d, NULL, item->line, item))
			return refuse(r, item->line, "too many values");
	}
}

/* "<<: *other" brings in what is not there itself. */
static bool merge(struct reader *r, struct doc *d, const struct doc *from)
{
	if (from->kind == DOC_LIST) {
		for (size_t i = 0; i < from->count; i++)
			if (!doc_is(from->items[i].value, DOC_MAP) || !merge(r, d, from->items[i].value))
				return false;
		return true;
	}
	for (size_t i = 0; from->kind == DOC_MAP && i < from->count; i++) {
		const struct doc_item *item = &from->items[i];

		if (!doc_find(d, item->key) && !doc_add(r->keep, d, item->key, item->line, item->value))
			return false;
	}
	return from->kind == DOC_MAP;
}

static bool member(struct reader *r, struct doc *d, yaml_event_t *e, struct doc **merged)
{
	struct doc *key = node(r, e), *value;
	yaml_event_t after;

	if (!key)
		return false;
	if (key->kind == DOC_LIST || key->kind == DOC_MAP)
		return refuse(r, key->line, "a key that is a list or a map"), false;
	if (doc_find(d, key->text))
		return (void)err_set(r->err, -EPROTO, "%u: '%s' stands there twice", key->line, key->text), false;
	if (!next(r, &after))
		return false;
	value = node(r, &after);
	if (!value)
		return false;
	if (strcmp(key->text, "<<") == 0) {
		*merged = value;
		return true;
	}
	return doc_add(r->keep, d, key->text, key->line, value) || (refuse(r, key->line, "too many values"), false);
}

static struct doc *mapping(struct reader *r, const yaml_event_t *begin)
{
	struct doc *d = doc_new(r->keep, DOC_MAP, line_of(begin)), *merged = NULL;

	for (;;) {
		yaml_event_t e;

		if (!next(r, &e))
			return NULL;
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		if (!member(r, d, &e, &merged))
			return NULL;
	}
	if (merged && !merge(r, d, merged))
		return refuse(r, d->line, "'<<' takes a map, or a list of maps");
	return d;
}

/* Takes the event. */
static struct doc *node(struct reader *r, yaml_event_t *e)
{
	const yaml_char_t *name = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.anchor
	                          : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
	                          : e->type == YAML_MAPPING_START_EVENT  ? e->data.mapping_start.anchor
	                                                                 : NULL;
	struct doc *d = NULL;
	size_t index = 0;

	if (++r->depth > DOC_DEPTH_MAX)
		(void)refuse(r, line_of(e), "nested too deeply");
	else if (!name || add_anchor(r, e, name, &index))
		d = e->type == YAML_SCALAR_EVENT           ? scalar(r, e)
		    : e->type == YAML_SEQUENCE_START_EVENT ? sequence(r, e)
		    : e->type == YAML_MAPPING_START_EVENT  ? mapping(r, e)
		    : e->type == YAML_ALIAS_EVENT          ? alias(r, e)
		                                           : refuse(r, line_of(e), "a value is missing");
	if (d && name)
		r->anchors[index].node = d;
	r->depth--;
	yaml_event_delete(e);
	return d;
}

static struct doc *document(struct reader *r)
{
	struct doc *root = NULL;
	yaml_event_t e;

	while (!root) {
		if (!next(r, &e))
			return NULL;
		if (e.type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(&e);
			return refuse(r, 1, "the file is empty");
		}
		if (e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT)
			yaml_event_delete(&e);
		else if (!(root = node(r, &e)))
			return NULL;
	}
	for (int i = 0; i < 2; i++) { /* the document's end, and the stream's */
		bool second;

		if (!next(r, &e))
			return NULL;
		second = e.type == YAML_DOCUMENT_START_EVENT;
		if (second)
			(void)refuse(r, line_of(&e), "a second document in one file");
		yaml_event_delete(&e);
		if (second)
			return NULL;
	}
	return root;
}

int doc_parse_yaml(struct keep *k, const char *text, size_t len, struct doc **ret_root, struct err *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct doc *root;

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->keep = k;
	r->err = err;
	if (!yaml_parser_initialize(&r->parser)) {
		free(r);
		return err_set(err, -ENOMEM, "out of memory");
	}
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	root = document(r);
	yaml_parser_delete(&r->parser);
	free(r);
	if (k->failed)
		return err_set(err, -ENOMEM, "out of memory");
	if (!root)
		return -EPROTO;
	*ret_root = root;
	return 0;
}

/* A document that people write, JSON or YAML, as a tree of values that know their lines. Nothing here knows plans.
 * Input is hostile: depth, nodes and what aliases stand for are bounded. Memory is the keep's. One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "keep.h"

enum { DOC_DEPTH_MAX = 64, DOC_NODES_MAX = 1 << 20 };

enum doc_kind { DOC_NULL, DOC_BOOL, DOC_NUMBER, DOC_STRING, DOC_LIST, DOC_MAP };

struct doc_item {
	const char *key; /* NULL in a list */
	struct doc *value;
	uint32_t line; /* of the key */
};

/* Invariants: a node does not contain itself, though several may contain it (YAML's aliases); `weight` counts the nodes that
 * it stands for, with those behind aliases, and is at most DOC_NODES_MAX. */
struct doc {
	enum doc_kind kind;
	uint32_t line, weight;
	const char *text; /* a scalar as it was written, a string without quotes and escapes; ends in NUL */
	size_t len;
	double number; /* DOC_NUMBER; DOC_BOOL: 0 or 1 */
	struct doc_item *items;
	size_t count;
};

/* Errors are -EPROTO with "LINE: reason", -ENOMEM. */
int doc_parse_json(struct keep *k, const char *text, size_t len, struct doc **ret_root, struct err *err) MUST_USE;
int doc_parse_yaml(struct keep *k, const char *text, size_t len, struct doc **ret_root, struct err *err) MUST_USE;

/* The value of a key, or NULL (also if `map` is NULL or no map). */
struct doc *doc_find(const struct doc *map, const char *key);
bool doc_is(const struct doc *d, enum doc_kind kind);
const char *doc_kind_text(const struct doc *d);

/* For parsers: a new node, an item of a list or (with a key) a map. */
struct doc *doc_new(struct keep *k, enum doc_kind kind, uint32_t line);
/* False: too many nodes, or no memory. */
bool doc_add(struct keep *k, struct doc *parent, const char *key, uint32_t line, struct doc *value);
/* A decimal number as JSON has it, all of `text`. */
bool doc_number(const char *text, double *ret_number);

/* An XML file as a tree of elements that know their lines (expat). A document type is refused: nothing here needs one, and
 * entities that expand or that name files come with it. Input is hostile. Memory is the keep's. One thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "keep.h"

enum { XML_TREE_DEPTH_MAX = 256, XML_TREE_NODES_MAX = 1 << 20 };

struct xml {
	const char *name, *text; /* text: directly inside this element, all pieces */
	size_t text_len;
	const char **attributes; /* name, value, ..., NULL */
	struct xml *parent, *first, *last, *next;
	uint32_t line;
};

/* `first_line` is the number of the line at which `text` begins. -EPROTO with "LINE: reason", -ENOMEM. */
int xml_tree_parse(struct keep *k, const char *text, size_t len, uint32_t first_line, struct xml **ret_root,
                   struct err *err) MUST_USE;
/* The value, or NULL. */
const char *xml_tree_attribute(const struct xml *x, const char *name);

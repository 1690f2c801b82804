/* Captures: what of an answer becomes a variable. Hostile answers are bounded work. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "answer.h"
#include "jsonpath.h"
#include "pattern.h"
#include "template.h"

enum capture_source {
	CAPTURE_JSON,    /* path */
	CAPTURE_PATTERN, /* pattern, group or `text` ("$1$-$2$") */
	CAPTURE_HEADER,  /* expression: the name */
	CAPTURE_XPATH,   /* expression */
	CAPTURE_BETWEEN, /* expression and `right`: what stands between */
	CAPTURE_STATUS,
	CAPTURE_BODY,
};

/* Where a pattern looks. */
enum capture_where { CAPTURE_IN_BODY, CAPTURE_IN_HEAD, CAPTURE_IN_STATUS, CAPTURE_IN_TARGET };

enum { CAPTURE_ALL_MAX = 64 }; /* name_1 ... name_64: so many slots of "all matches" */
enum { CAPTURE_RANDOM = 0, CAPTURE_ALL = -1 };

struct capture {
	enum capture_source source;
	enum capture_where where;
	const char *name, *expression, *right;
	uint32_t line, slot;
	const struct jsonpath *path;
	const struct pattern *pattern;
	const char *text; /* of a pattern's match, with $N$ for group N; NULL: the group itself */
	int group;
	int match;               /* 1: the first; CAPTURE_RANDOM; CAPTURE_ALL */
	const char *missing;     /* the value if nothing matches; NULL: none */
	bool strict;             /* if nothing matches, the iteration is over and failed */
	bool is_html;            /* XPath over HTML, which need not be well formed */
	bool unset_when_missing; /* else the variable stays as it was */
	uint32_t *all, count_slot,
	        joined_slot; /* CAPTURE_ALL: CAPTURE_ALL_MAX slots; "_matchNr"; "_ALL" or TEMPLATE_NO_SLOT */
};

/* False: nothing matched. The variables are set either way. */
bool capture_run(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory);
/* A value for checks: the first match, into s->scratch from *ret_mark on; the caller sets scratch.len back. */
bool capture_look(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory,
                  size_t *ret_mark);

/* Texts with places for values, "/orders/${id}" or "/orders/{{ id }}", cut into segments once and written often. Writing
 * allocates nothing but what the output buffer needs. What a value holds cannot break out of where it stands: each segment
 * knows how its value must be written there. Compiling: one thread. Rendering: each user its own scope. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "jsonpath.h"
#include "keep.h"
#include "scope.h"

/* Where a value stands. */
enum template_place {
	TEMPLATE_PLAIN,      /* as it is */
	TEMPLATE_JSON,       /* inside a JSON string */
	TEMPLATE_JSON_VALUE, /* as a JSON value of its own: texts get quotes, numbers do not */
	TEMPLATE_TARGET,     /* in a URL: what cannot stand in one is percent-encoded, its delimiters are kept */
	TEMPLATE_FORM,       /* the name or value of a form or a query: everything but letters, digits and -._~ */
	TEMPLATE_HEADER,     /* a header's value: control characters become blanks */
};

#define TEMPLATE_CALLS(X)                           \
	X(RANDOM_INT)    /* from, to: inclusive */  \
	X(RANDOM_STRING) /* length, characters */   \
	X(RANDOM_ITEM)   /* of the list `number` */ \
	X(UUID)                                     \
	X(TIME)       /* format */                  \
	X(TIME_SHIFT) /* format, ISO duration */    \
	X(COUNTER)    /* counter `number` */        \
	X(USER)                                     \
	X(ITERATION)                                \
	X(SUM)                                      \
	X(URL_ENCODE)                               \
	X(URL_DECODE)                               \
	X(BASE64)                                   \
	X(BASE64_DECODE)                            \
	X(UPPER)                                    \
	X(LOWER)                                    \
	X(LENGTH)                                   \
	X(EVAL) /* the variable of this name */

enum template_function {
#define TEMPLATE_CALL_ENUM(name) TEMPLATE_CALL_##name,
	TEMPLATE_CALLS(TEMPLATE_CALL_ENUM)
#undef TEMPLATE_CALL_ENUM
};

enum { TEMPLATE_ARGS_MAX = 8, TEMPLATE_NO_SLOT = UINT32_MAX, TEMPLATE_DEPTH_MAX = 8 };

struct template_call {
	enum template_function function;
	const struct template *args[TEMPLATE_ARGS_MAX];
	size_t arg_count;
	uint32_t number; /* of the list or counter */
	uint32_t result; /* the slot that the result is put into, too, or TEMPLATE_NO_SLOT */
};

enum template_kind { TEMPLATE_TEXT, TEMPLATE_VARIABLE, TEMPLATE_CALL };

struct template_segment {
	enum template_kind kind;
	enum template_place place;
	const char *text; /* TEMPLATE_TEXT; of a variable: what is written while it has no value */
	size_t len;
	uint32_t slot;
	const struct jsonpath *path; /* into the value, or NULL */
	const struct template_call *call;
};

struct template
{
	const struct template_segment *segments;
	size_t count;
};

/* Segments being gathered. Neighbouring texts become one. */
struct template_builder {
	struct keep *keep;
	struct template_segment *segments;
	size_t count;
	struct buf text; /* not yet a segment */
};

void template_begin(struct template_builder *b, struct keep *k);
/* `text` is written as its place wants it. */
void template_add_text(struct template_builder *b, enum template_place place, const char *text, size_t len);
void template_add_segment(struct template_builder *b, const struct template_segment *segment);
/* All of another one. */
void template_add_all(struct template_builder *b, const struct template *t);
struct template *template_end(struct template_builder *b);
/* A template of a text alone. */
struct template *template_of(struct keep *k, const char *text);

/* Appends to `out`; `t` may be NULL (nothing). */
void template_render(const struct template *t, struct scope *s, struct buf *out);
/* The whole text, if nothing in it varies (NULL: something does). */
const char *template_constant(const struct template *t);
/* Is it one value and nothing else? Then its segment, else NULL. */
const struct template_segment *template_single(const struct template *t);
/* One segment's value: into `out` as it is, with its kind. False: it has none. */
bool template_value(const struct template_segment *segment, struct scope *s, struct buf *out,
                    enum scope_kind *ret_kind);

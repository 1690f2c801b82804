/* Conditions of if and while: "${status} == 'open' && ${n} < 3". Compiled once; looking allocates
 * nothing but what the scope's memory needs. The loader that knows the dialect parses operands into templates; here is what
 * all dialects share.
 *   or = and { ("||" | "or") and }; and = not { ("&&" | "and") not }; not = ["!" | "not"] test;
 *   test = "(" or ")" | operand [ ("==" | "===" | "!=" | "!==" | "<" | "<=" | ">" | ">=" | "=~" | "contains") operand ] */
#pragma once
#include <stdbool.h>
#include "err.h"
#include "keep.h"
#include "template.h"

enum { CONDITION_DEPTH_MAX = 32 };

struct condition;

/* One operand that begins at *at, advanced behind it: NULL where there is none (the sentence is in `err`). */
typedef const struct template *(*condition_operand)(void *context, const char **at, struct err *err);

int condition_compile(struct keep *k, const char *text, condition_operand operand, void *context,
                      const struct condition **ret_condition, struct err *err) MUST_USE;
const struct condition *condition_not(struct keep *k, const struct condition *c);
/* Numbers compare as numbers, everything else as text; a lone operand holds if it is neither empty, "false", "0", "null",
 * "undefined" nor without a value. */
bool condition_holds(const struct condition *c, struct scope *s);
/* True or false whatever the variables: 1 or 0; else -1. */
int condition_constant(const struct condition *c);
/* The operands of its comparisons, at most `most`: how many there are. */
size_t condition_operands(const struct condition *c, const struct template **ret_operands, size_t most);

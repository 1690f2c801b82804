/* How the three kinds of plans write variables, functions and conditions: "${x}" and "${__Random(1,9)}" in JMeter's,
 * "{{ x.a[0] }}" and "{{ $randomNumber(1, 9) }}" in Artillery's, both without JMeter's functions in our own. What is not
 * known is said once and left as it stands. One thread. */
#pragma once
#include "condition.h"
#include "testplan.h"

enum dialect_kind { DIALECT_OWN, DIALECT_JMETER, DIALECT_ARTILLERY };

/* What comes from outside the plan. */
struct dialect_values {
	const char *const *properties; /* "NAME=VALUE": -J */
	size_t property_count;
	const char *const *environment; /* "NAME=VALUE": -e; before the process's own */
	size_t environment_count;
};

struct dialect {
	enum dialect_kind kind;
	struct testplan *plan;
	const struct dialect_values *values;
	const char *target; /* Artillery's {{ target }} */
	uint32_t line;      /* of what is being compiled: for warnings */
	unsigned depth;
};

/* Appends `text` to a template that is being built; it stands at `place`. */
void dialect_add(struct dialect *d, struct template_builder *b, enum template_place place, const char *text,
                 size_t len);
const struct template *dialect_template(struct dialect *d, enum template_place place, const char *text);
/* NULL: it is not understood, and a warning says so. */
const struct condition *dialect_condition(struct dialect *d, const char *text);
/* The value of a property or variable of the environment, or NULL. */
const char *dialect_property(const struct dialect *d, const char *name);
const char *dialect_environment(const struct dialect *d, const char *name);

/* ---- between the dialects' files ---- */
/* What stands behind "${" or "{{", up to *ret_end (behind the closing brackets): false if it is to stay text. */
bool dialect_jmeter(struct dialect *d, struct template_builder *b, enum template_place place, const char *at,
                    const char *end, const char **ret_end);
bool dialect_braces(struct dialect *d, struct template_builder *b, enum template_place place, const char *at,
                    const char *end, const char *close, const char **ret_end);
void dialect_add_variable(struct dialect *d, struct template_builder *b, enum template_place place, const char *name,
                          const char *path, const char *unset);
/* A call as a segment. `path` may be NULL. */
void dialect_add_call(struct dialect *d, struct template_builder *b, enum template_place place,
                      const struct template_call *call, const char *path, const char *unset);
bool dialect_find_list(const struct dialect *d, const char *name, uint32_t *ret_list);

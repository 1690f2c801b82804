/* What the files of the JMeter loader share. */
#pragma once
#include "load_tools.h"
#include "xml_tree.h"

/* A place in the tree: the elements of one <hashTree>, and the places around it, up to the plan's own. What is configured
 * in a place holds for every sampler in it and below. */
struct jmeter_level {
	const struct jmeter_level *up;
	const struct xml **parts; /* configuration, timers, assertions, extractors; without controllers and samplers */
	size_t count;
};

/* The text of a property, or NULL where it is missing or empty. */
const char *jmeter_property(const struct xml *element, const char *name);
const struct xml *jmeter_find(const struct xml *element, const char *name);
bool jmeter_is_true(const struct xml *element, const char *name);
const char *jmeter_name(const struct xml *element);
bool jmeter_is(const struct xml *element, const char *const *names);
bool jmeter_is_enabled(const struct xml *element);
/* Variables of the plan whose values are known are put in: then NULL if it still varies. */
const char *jmeter_constant(struct load *l, const struct xml *element, const char *text);
const struct template *jmeter_template(struct load *l, const struct xml *element, enum template_place place,
                                       const char *text);
/* A property as a number; `otherwise` where it is missing. False: refused. */
bool jmeter_number(struct load *l, const struct xml *element, const char *name, double otherwise, double *ret_number);

/* load_jmeter_http.c */
struct testplan_step *jmeter_sampler(struct load *l, struct testplan_step *parent, const struct xml *element,
                                     const struct jmeter_level *level);
/* load_jmeter_parts.c: what stands in the levels of a sampler. Timers become steps before it. */
void jmeter_timers(struct load *l, struct testplan_step *parent, const struct jmeter_level *level, uint64_t users);
void jmeter_assertions(struct load *l, struct testplan_request *r, const struct jmeter_level *level);
void jmeter_extractors(struct load *l, struct testplan_request *r, const struct jmeter_level *level);
bool jmeter_is_part(const struct xml *element);
/* load_jmeter_data.c */
void jmeter_variables(struct load *l, const struct xml *arguments);
/* Data sets, counters, random variables: steps at the beginning of an iteration. False: it is none of them. */
bool jmeter_data(struct load *l, struct testplan_step *root, const struct xml *element);
bool jmeter_is_data(const struct xml *element);

/* The steps of a flow as Artillery's and our own files have them. */
#pragma once
#include "load_tools.h"

void load_flow(struct load *l, struct testplan_step *parent, const struct doc *list);
/* Variables of a map: texts, numbers and maps for all; of a list each user has one. */
void load_variables(struct load *l, const struct doc *map);
/* A feeder from a file or from rows in the plan; NULL: refused. `fields` may be NULL (the first row names them). */
struct feeder *load_feeder(struct load *l, const char *name, const struct doc *d);

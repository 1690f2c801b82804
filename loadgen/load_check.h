/* Captures and checks as Artillery's and our own files have them. */
#pragma once
#include "load_tools.h"

void load_captures(struct load *l, struct testplan_request *r, const struct doc *d);
/* Artillery's expect. */
void load_expects(struct load *l, struct testplan_request *r, const struct doc *d);
/* Our own. */
void load_checks(struct load *l, struct testplan_request *r, const struct doc *d);
/* Artillery's match: a capture's source, and the value it must have. */
void load_matches(struct load *l, struct testplan_request *r, const struct doc *d);

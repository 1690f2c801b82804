/* A request as Artillery's and our own files have it, and what is captured from and asked of its answer. */
#pragma once
#include "load_tools.h"

/* `method` in capitals; `d`: a map, or a text that is the URL. NULL: refused. */
struct testplan_step *load_request(struct load *l, struct testplan_step *parent, const char *method,
                                   const struct doc *d, uint32_t line);
/* Which key of a step's map is a request's method, NULL if none. */
const struct doc_item *load_request_method(const struct doc *step, char ret_method[8]);

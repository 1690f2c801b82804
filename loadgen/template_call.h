/* The functions that a template may call. Pure but for the scope's dice and counters. */
#pragma once
#include "template.h"

/* Appends the result to `out`; the kind of the value, SCOPE_UNSET if there is none. */
enum scope_kind template_call_run(const struct template_call *call, struct scope *s, struct buf *out);

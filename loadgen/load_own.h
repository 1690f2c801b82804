/* Our own plans: docs/plan-format.md. */
#pragma once
#include "load_tools.h"

void load_own(struct load *l, const struct doc *root);

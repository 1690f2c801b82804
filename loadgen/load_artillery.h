/* Artillery's scripts (2.0), from YAML or JSON. */
#pragma once
#include "load_tools.h"

void load_artillery(struct load *l, const struct doc *root);

/* JMeter's test plans (.jmx). Which elements are understood, docs/plan-format.md lists; others are passed over with a
 * warning that names them. */
#pragma once
#include "load_tools.h"
#include "xml_tree.h"

void load_jmeter(struct load *l, const struct xml *root);

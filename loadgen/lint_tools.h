/* What lint's files share. */
#pragma once
#include "lint.h"

void lint_add(struct lint *l, uint32_t line, const char *fmt, ...) PRINTF(3, 4);
/* lint_flow.c: steps, templates, checks, variables. */
void lint_flows(struct lint *l);
/* lint_load.c: schedules and thresholds. */
void lint_schedules(struct lint *l);
void lint_thresholds(struct lint *l);

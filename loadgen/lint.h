/* What cannot work in a plan, said before a run: pure arithmetic and reading. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "testplan.h"

struct lint_finding {
	uint32_t line;
	const char *text;
};

struct lint {
	struct testplan *plan;
	struct lint_finding *findings; /* by line; the memory is the plan's */
	size_t count;
};

/* All findings, with what the loader passed over. Afterwards the plan is as it was. */
void lint_run(struct testplan *plan, struct lint *ret_lint);

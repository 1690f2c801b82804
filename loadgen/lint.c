#include "lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lint_tools.h"

enum { FINDINGS_MAX = 1000 };

void lint_add(struct lint *l, uint32_t line, const char *fmt, ...)
{
	struct lint_finding *items;
	char text[400];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (l->count == FINDINGS_MAX)
		return;
	for (size_t i = 0; i < l->count; i++)
		if (l->findings[i].line == line && strcmp(l->findings[i].text, text) == 0)
			return;
	items = keep_grow(&l->plan->keep, l->findings, l->count, sizeof(*items));
	if (!items)
		return;
	l->findings = items;
	items[l->count++] = (struct lint_finding){ line, keep_text(&l->plan->keep, text, strlen(text)) };
}

static int by_line(const void *a, const void *b)
{
	const struct lint_finding *x = a, *y = b;

	return x->line != y->line ? (x->line < y->line ? -1 : 1) : strcmp(x->text, y->text);
}

void lint_run(struct testplan *plan, struct lint *ret_lint)
{
	*ret_lint = (struct lint){ .plan = plan };
	for (size_t i = 0; i < plan->note_count; i++)
		lint_add(ret_lint, plan->notes[i].line, "%s", plan->notes[i].text);
	lint_flows(ret_lint);
	lint_schedules(ret_lint);
	lint_thresholds(ret_lint);
	if (ret_lint->count)
		qsort(ret_lint->findings, ret_lint->count, sizeof(*ret_lint->findings), by_line);
}

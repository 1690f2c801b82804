/* probe-load lint PLAN: what cannot work in a plan, before it is run. */
#pragma once
#include <stdio.h>
#include "cli.h"
#include "err.h"

enum { CMD_LINT_CLEAN = 0, CMD_LINT_FINDINGS = 3, CMD_LINT_UNREADABLE = 111 };

extern const struct cli_option cmd_lint_options[];

/* argv[0] is the command's name. Findings go to `out`. An exit status of the above, -EINVAL for wrong usage; 1: help is
 * wanted (no status of its own). `err` says why for all but the first two. */
enum { CMD_LINT_HELP = 1 };
int cmd_lint(FILE *out, int argc, char **argv, struct err *err) MUST_USE;

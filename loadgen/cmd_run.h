/* probe-load run PLAN: plays a plan and prints what came of each of its requests. */
#pragma once
#include <stdio.h>
#include "cli.h"
#include "err.h"

/* Beside -errno. CMD_RUN_HELP: help is wanted. */
enum { CMD_RUN_DONE = 0, CMD_RUN_HELP = 2, CMD_RUN_INTERRUPTED = 105, CMD_RUN_REFUSED = 111 };

extern const struct cli_option cmd_run_options[];

/* argv[0] is the command's name. Results go to `out`, warnings about the plan to `warnings`. Blocks SIGINT and SIGTERM. */
int cmd_run(FILE *out, FILE *warnings, int argc, char **argv, struct err *err) MUST_USE;

/* Completion in bash, zsh and fish, from the tables of cli.h: the script of a shell asks the program itself, so it knows
 * what the program knows. Hosted programs, main thread. Errors: -EINVAL with one sentence.
 *
 * What a script asks is `PROGRAM completion -- WORD...`: the words after the program's name, the last of them (perhaps
 * empty) being typed. The answer is lines:
 *   WORD [tab ABOUT]       a candidate: the whole word
 *   :prefix tab TEXT       of the word being typed, this part stays as it is; files are completed after it
 *   :files tab ENDINGS     names of files with one of these endings ("snap live"; none: any), and directories
 *   :dirs                  names of directories
 *   :command tab N         another program's command line begins at word N (0: the first after our name) */
#pragma once
#include <stdio.h>
#include "cli.h"
#include "compiler.h"
#include "err.h"

/* The subcommand `completion`: argv[0] is its name; a shell's name prints the script, "--" answers what a script asks.
 * Returns 1 if --help stands there and nothing was printed. */
int completion_run(FILE *out, const struct cli_program *program, int argc, char **argv, struct err *err) MUST_USE;

/* For tables of commands. */
#define COMPLETION_ARGS "bash|zsh|fish"
#define COMPLETION_HELP "print the completion script of a shell"

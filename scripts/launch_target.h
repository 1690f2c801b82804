/* Will the loader preload a library into this program? Looks at the file that would be executed: follows a script's
 * interpreter (and `env NAME`), reads ELF headers and permission bits.
 * Context    hosted programs, any thread. Errors: none; what cannot be read is not judged. */
#pragma once
#include <limits.h>
#include <stddef.h>
#include "buf.h"

/* Path of the file that execvp(name) would run, into `ret_path`. 0, -ENOENT (no such command) or -EACCES (found, but
 * not executable). */
int launch_target_find(const char *name, char *ret_path, size_t size);

/* Appends one sentence for each reason why a preloaded library would not work in the program at `path`. Nothing is
 * appended when all is well or the file cannot be judged. */
void launch_target_warn(const char *path, struct buf *ret_sentences);

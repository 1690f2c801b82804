/* The end of the process: its last profile, once, whichever way it ends.
 * Context    a thread on its way out, unless said otherwise. In a vfork child nothing happens: it is not the process. */
#pragma once
#include <stdbool.h>
#include "config.h"

/* [init] */
void finish_init(const struct config *config);
/* Is this the process that finish_init() or finish_fork_child() ran in? [any thread, handlers included] */
bool finish_is_this_process(void);
/* The process ends: writes the profile named "exit". */
void finish_process(void);
/* exit() was called. Of two threads that do, the second would end the process under the first one's hands, which libc's exit()
 * allows: it waits here for the last profile, two seconds at most. */
void finish_exit_called(void);
/* As finish_process(), from a signal handler: the helper writes, this waits. */
void finish_from_handler(void);
/* The program will be replaced: as finish_process(), but it may yet go on, if the call fails. */
void finish_before_exec(void);
/* `follow`: the child records on. */
void finish_fork_child(bool follow);

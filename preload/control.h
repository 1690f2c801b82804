/* What the control socket understands: one request line, and the answer to it (docs/adr/0016).
 * "snapshot", "leaks", "start", "stop", "status", "set NAME=VALUE". An answer is "ok", a text and perhaps more lines, or
 * "error" and one sentence; it ends in a newline.
 * Context    [helper]: system calls; snapshot takes as long as a profile takes, everything else microseconds. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { CONTROL_REQUEST_MAX = 8 << 10, CONTROL_ANSWER_MAX = 32 << 10 };

enum control_result {
	CONTROL_ANSWERED, /* `answer` is complete */
	CONTROL_LATER,    /* a leak check has begun: control_later() will have the answer */
};
/* `line` has no newline. `size` is CONTROL_ANSWER_MAX at least. */
enum control_result control_answer(const char *line, char *answer, size_t size);
/* Goes on with the leak check that was asked for. True: it is done, or none was asked for, and `answer` is complete. */
bool control_later(char *answer, size_t size);
bool control_is_busy(void); /* one has been asked for and is not done */

/* The leak check, in steps, so that profiles are written meanwhile: it is called again and again, about every 5 ms, until it
 * no longer answers -EINPROGRESS. 0: `text` is the name of the file that was written. Another -errno: `text` is the reason,
 * one sentence. No step takes longer than it has to. NULL: there is none, and who asks is told so. */
typedef int control_leaks_fn(char *text, size_t size);
void control_on_leaks(control_leaks_fn *check); /* [init] */

/* In a forked child: what its parent was asked for is the parent's. */
void control_fork_child(void);

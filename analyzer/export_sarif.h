/* Leaks and suspects as SARIF 2.1.0 (OASIS), for code-scanning tools. Hosted programs; any thread. */
#pragma once
#include "buf.h"

struct view_leaks;

/* Every leak is a result (level error; indirect ones warning), suppressed ones with their suppression, every suspect a note.
 * Where no check was done the invocation says so and is not successful. Memory exhaustion is sticky in the buffer. */
void export_sarif(struct buf *out, const struct view_leaks *in);

/* Private to the exporters: what several formats write alike. Names come from the profiled program and are cleaned
 * (clean_text.h) before a format's own escapes. Context: hosted programs, any thread. Errors: sticky in the buffers. */
#pragma once
#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "json_write.h"

struct function;
struct profile;

/* A string, alone or as a member. `scratch` is any buffer of the caller's; its content is lost. */
void export_text(struct json *j, struct buf *scratch, const char *text);
void export_key_text(struct json *j, struct buf *scratch, const char *key, const char *text);
/* "demo, pid 4711: CPU time"; not cleaned. */
void export_title(struct buf *out, const struct profile *p);
/* "7 cpu.dropped, 2 stacks.full", or "nothing". Cleaned. */
void export_losses(struct buf *out, const struct profile *p);
/* The member "losses":{"cpu.dropped":7,...}, empty if nothing was lost. */
void export_key_losses(struct json *j, struct buf *scratch, const struct profile *p);
/* The member "callFrame" of the formats that V8 made: .cpuprofile, .heapprofile, and the profiles in traces. `f` NULL: a
 * name that is no function. scriptId is the function's number: DevTools takes functions of equal name, script and line for
 * one. Lines and columns are counted from 0, -1 is none. */
void export_call_frame(struct json *j, struct buf *scratch, const char *name, const struct function *f,
                       uint32_t function);
/* What a function's code is in, as a name to show: the source file, else the module; "" if neither is known. */
const char *export_place(const struct function *f);
/* For formats of lines: a name, cleaned, which has no line ends then, without blanks at its end; "[unknown]" if nothing is
 * left. */
void export_line_name(struct buf *out, const char *name);
/* The same for the folded format: no ';', and no number at the end that could be taken for a value. In export_folded.c. */
void export_folded_name(struct buf *out, const char *name);

/* Pieces of text and JSON that several commands print. Names from a snapshot are untrusted: control characters never
 * reach a terminal. Errors: memory exhaustion is sticky in the buffer. Hosted programs; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "json_write.h"
#include "profile.h"

struct model;

/* Colours are escape sequences or nothing. */
struct view {
	struct buf *out;
	bool colour;
};
enum view_style { VIEW_PLAIN, VIEW_BOLD, VIEW_DIM, VIEW_GOOD, VIEW_BAD };

void view_style(const struct view *v, enum view_style style);
/* Text without control characters, in a style. */
void view_text(const struct view *v, enum view_style style, const char *text);
/* "12.3 MiB", "1,234", "1.25 s (124 samples)". */
void view_value(const struct view *v, enum profile_metric metric, uint64_t period_ns, uint64_t value);
/* The same with a sign. */
void view_delta(const struct view *v, enum profile_metric metric, uint64_t period_ns, int64_t delta);
void view_count(const struct view *v, uint64_t count); /* "1,234,567" */
/* "12.3 %" in six columns. */
void view_percent(const struct view *v, uint64_t part, uint64_t whole);
/* "function  file:line", or "function  (module)" where no line is known; both by their file names. */
void view_frame(const struct view *v, const struct profile_frame *f);
/* "function  (module)". */
void view_function(const struct view *v, const struct profile_frame *f);
/* Frames leaf first, one a line behind `indent` blanks; at most `most` (0: all), then how many are left out. */
void view_stack(const struct view *v, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                unsigned indent, uint32_t most);
/* "lost: 12 cpu.dropped, 3 stacks.full" and a line end, or nothing if nothing was lost. */
void view_losses(const struct view *v, const struct model *m);

/* A name, or with `full` an object of everything known. */
void view_json_frames(struct json *j, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                      bool full);
/* DESIGN's "report" shape; `top` 0: all stacks. */
void view_json_profile(struct json *j, const struct profile *p, uint64_t top, bool full);

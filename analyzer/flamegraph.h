/* A call tree as one self-contained SVG file: readable as it is, interactive where scripts run (zoom, search, tooltips,
 * keyboard; flamegraph.js). With a tree of two profiles it is differential: colours show growth.
 * Context  hosted programs, any thread. Errors: memory exhaustion is sticky in the buffer (buf.failed). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "profile.h"

struct functions;
struct tree;

struct flamegraph_options {
	const char *title, *subtitle;
	const char *const *notes; /* lines under the subtitle: losses and the like */
	size_t note_count;
	uint32_t width_px;   /* 0: 1200, and the window's width where scripts run */
	double min_width_px; /* frames narrower than this in the whole picture are left out, and counted in a note */
	bool inverted;       /* root at the top */
	bool before;         /* differential: widths are the first profile's */
	double before_scale; /* differential: what the first profile's values are multiplied by before comparing; 0: 1 */
	double variance
	        [2]; /* of a value of 1 on each side (estimate.h): changes within the sampling error look like none */
};

struct flamegraph_input {
	const struct tree *tree;
	const struct functions *functions;
	size_t profile_count; /* 1, or 2: differential */
	enum profile_metric metric;
	uint64_t period_ns; /* time that a value of 1 stands for; 0 for heap metrics */
};

void flamegraph_write(const struct flamegraph_input *in, const struct flamegraph_options *options, struct buf *out);

enum { FLAMEGRAPH_MAX_DIFF = 10 };
/* Colour of a differential frame: -FLAMEGRAPH_MAX_DIFF (shrank most) .. 0 (the same) .. FLAMEGRAPH_MAX_DIFF (grew most). */
int flamegraph_diff_colour(double delta, double largest);

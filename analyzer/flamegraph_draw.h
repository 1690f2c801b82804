/* Private to flamegraph.c and flamegraph_data.c: the laid-out picture that the one computes and the other stores. */
#pragma once
#include "flamegraph.h"
#include "tree.h"

struct flamegraph_layout {
	const struct flamegraph_input *in;
	const struct flamegraph_options *options;
	size_t side; /* whose totals are widths */
	uint32_t width_px;
	double *x;      /* per tree node: left edge, in values of `side` */
	uint32_t *kept; /* per tree node: index among those stored in the file, or TREE_NO_NODE */
	uint32_t kept_count;
	uint32_t dropped_count;
	uint64_t dropped_value;
	double largest_delta; /* of kept nodes, absolute */
	double before_scale;  /* what the first profile's values are multiplied by before comparing */
};

enum { FLAMEGRAPH_COLOURS = 24 };

/* "c7", "cs" (special), "cu" (unnamed), "d-3": the frame's colour class without blanks. Ends with NUL. */
void flamegraph_colour(const struct flamegraph_layout *l, uint32_t node, char out[8]);
/* The JSON document that flamegraph.js reads, safe inside a CDATA section. */
void flamegraph_data(const struct flamegraph_layout *l, struct buf *out);

/* The page: one self-contained HTML file that needs no network. Its data is a list of recordings (html_data.h); with `live` there are
 * none in it, and its script asks the server that it came from.
 * Context  hosted programs, any thread. Errors: memory exhaustion is sticky in the buffer. */
#pragma once
#include <stdbool.h>
#include "buf.h"

struct html_options {
	const char *title;
	bool live, diff;                /* diff: opens with the last recording compared with the first */
	const char *metric, *normalize; /* opens with it; NULL: as the page thinks fit */
};

/* `recordings`: JSON objects separated by commas. */
void html_page(const struct html_options *options, const struct buf *recordings, struct buf *out);

/* The section SERIES of a snapshot. Context: that of snapshot_write(). */
#pragma once

struct snapshot_out;

void snapshot_series(struct snapshot_out *out);

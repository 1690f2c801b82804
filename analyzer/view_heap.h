/* What is known of a stack's blocks besides their bytes: largest, slop, lifetimes. Hosted programs; any thread. */
#pragma once
#include "json_write.h"
#include "profile.h"
#include "view.h"

/* The end of range `i` of lifetimes in nanoseconds, exclusive; 0: it has none. */
uint64_t lifetime_end_ns(unsigned i);
/* The first range up to which at least `share` of what was freed lived; SNAP_LIFETIMES: nothing was. */
unsigned lifetime_quantile(const double lifetime[SNAP_LIFETIMES], double share);

/* ", largest 64 KiB, slop 1.2 KiB", as far as it is known. */
void view_heap_text(const struct view *v, const struct profile *p, const struct profile_heap *h);
/* "lived 4.1 us to 17 ms, half of them less than 66 us" and a line end behind `indent` blanks; nothing if nothing was freed. */
void view_lifetime_line(const struct view *v, const struct profile_heap *h, unsigned indent);
/* Keys of an object under way: largest_bytes, slop_bytes, lifetimes. */
void view_heap_json(struct json *j, const struct profile *p, const struct profile_heap *h);

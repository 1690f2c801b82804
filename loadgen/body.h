/* A kept response taken apart: its final head, and its body as it was meant. Pure; any thread. The bytes are those that
 * http1.h has found well formed. */
#pragma once
#include <stdint.h>

struct buf;
struct user_response;

/* So many bytes of a chunked body are kept that `max` bytes of content are in them, unless its chunks are tiny. */
#define BODY_FRAMED_MAX(max) ((uint64_t)(max)*2 + 4096)

/* Sets head, body and their sizes, body_cut and body_undecoded of *r, whose wire_body_bytes are known; they point into `kept` and `scratch`.
 * `max`: bytes of body wanted; 0: only the head. */
void body_split(struct buf *kept, struct buf *scratch, uint64_t max, struct user_response *r);

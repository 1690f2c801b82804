/* Results to bytes. Pure: const in, appended to `out`; memory exhaustion is sticky there (buf.failed). */
#pragma once
#include <stdbool.h>

struct buf;
struct result;
struct verdict;

/* `rich`: block characters for the picture, else plain ASCII. */
void out_text(const struct result *r, const struct verdict *v, bool rich, struct buf *out);
/* One object and a newline: k6's summary shape and more; see the essay in out_json.c. */
/* The scrape format of Prometheus; times in seconds. */
void out_prom(const struct result *r, struct buf *out);
/* Percentiles of the response time as HdrHistogram prints them, in ms. */
void out_hgrm(const struct result *r, struct buf *out);
void out_json(const struct result *r, const struct verdict *v, struct buf *out);

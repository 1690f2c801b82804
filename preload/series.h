/* What the process has used and had, over time: points at even distances over the whole recording, of bounded number.
 * Context    series_tick() [helper]; series_get() [any thread]. Errors: where the kernel does not tell, bytes are 0. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SERIES_POINTS = 1024 };

/* At time_ns: CPU time used and requests answered since the process began; what it has. */
struct series_point {
	uint64_t time_ns, cpu_ns, resident_bytes, live_bytes, requests;
};

/* Adds a point if one is due. */
void series_tick(uint64_t now_ns);
/* Copies the points, oldest first, and one of now behind them: SERIES_POINTS + 1 have room. How many; *ret_interval_ns is their
 * distance. Points that were moved while they were copied are left out. */
size_t series_get(struct series_point *to, uint64_t *ret_interval_ns);
/* Memory of the process that is in RAM. */
uint64_t series_resident_bytes(void);
void series_fork_child(void);

/* The metrics' address: the socket that PERFPROBE_METRICS asks for, who scrapes, their deadlines (docs/adr/0021).
 * Context    [helper], unless said otherwise: system calls that do not wait; a page takes about a millisecond, and at most a
 *            tenth of the helper's time goes to them.
 * Errors     a process that cannot have its address goes on without: counted (metrics.unreachable), said once for all processes
 *            that were forked from one, shown by `perfprobe status`, and tried again. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The helper begins, after own_socket_begin(). The socket is made later, by a tick: most processes end before. */
void metrics_socket_begin(uint64_t now_ns);
/* Makes the socket when it is time, follows the option, serves who is there. Returns how long it may be until the next call. */
uint64_t metrics_socket_tick(uint64_t now_ns);
/* The helper ends, perhaps to be made anew with other rights. */
void metrics_socket_end(void);
/* What a person is told: an address that can be used, "off", or why there is none. Valid until the next tick. */
const char *metrics_socket_where(void);

/* Its name in the file system goes, if it has one: the process ends (`for_good`), or is about to be replaced. [any thread on
 * its way out] */
void metrics_socket_remove(bool for_good);
/* The child has none: its parent's is left alone. */
void metrics_socket_fork_child(void);

/* The control socket: /tmp/perfprobe-UID/PID.sock, its clients, their deadlines (docs/adr/0016).
 * Context    [helper], unless said otherwise: system calls that do not wait; what a request takes (control.h).
 * Errors     a process that can have no socket goes on without: counted (control.unreachable), and said in one sentence only
 *            where somebody else's hand is in it, or PERFPROBE_VERBOSE asks. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The helper begins, after own_socket_begin(). The socket itself is made later, by a tick: most processes end before. */
void control_socket_begin(uint64_t now_ns);
/* Makes the socket when it is time, sees to it that it is still there, takes clients and answers them. Returns how long it may
 * be until the next call, in ns. */
uint64_t control_socket_tick(uint64_t now_ns);
/* The helper ends, perhaps to be made anew with other rights. */
void control_socket_end(void);

/* Its name goes: the process ends (`for_good`), or is about to be replaced. [any thread on its way out] */
void control_socket_remove(bool for_good);
/* The child has none: its parent's is left alone. */
void control_socket_fork_child(void);

/* Is the recorder running? One word that hooks test first. [any thread] */
#pragma once
#include "atomic.h"
#include "compiler.h"

enum state {
	STATE_NEW = 0,     /* nothing was called yet: the first hook starts the recorder (start.c) */
	STATE_OFF = 1,     /* passive for good: hooks only pass through */
	STATE_STOPPED = 2, /* frees are still followed, so that the table of live blocks stays right */
	STATE_RUNNING = 3,
};

/* Written by start.c and lifecycle.c (release), read by hooks (relaxed: what they use was published before main() began,
 * or by the pthread_create that made their thread). */
extern _Atomic int state_now HIDDEN;

/* Stop and start, as perfprobe.h and the control socket have them. A recorder that is passive stays so. Pairs with nothing:
 * hooks may see it late. */
static inline void state_change(int from, int to)
{
	(void)cas_relaxed(&state_now, &from, to);
}

static inline enum state state_get(void)
{
	return (enum state)load_relaxed(&state_now);
}

/* Is the recorder running? One word that hooks test first. [any thread] */
#pragma once
#include "atomic.h"
#include "compiler.h"

enum state {
	STATE_OFF = 0,     /* before start-up is complete, or passive for good: hooks only pass through */
	STATE_STOPPED = 1, /* frees are still followed, so that the table of live blocks stays right */
	STATE_RUNNING = 2,
};

/* Written by lifecycle.c and control commands (release), read by hooks (relaxed: what they use was published before
 * main() began, or by the pthread_create that made their thread). */
extern _Atomic int state_now HIDDEN;

static inline enum state state_get(void)
{
	return (enum state)load_relaxed(&state_now);
}

#include "losses.h"

#include <stdbool.h>

_Atomic uint64_t losses_count[LOSS_COUNT];

static const char *const names[LOSS_COUNT] = {
#define LOSS(id, name, meaning) name,
#include "losses.def"
#undef LOSS
};

const char *loss_name(enum loss which)
{
	return names[which];
}

/* What was found at start-up, and is as true in a child: no event that was lost. */
static bool is_state(unsigned which)
{
	return which == LOSS_HEAP_FOREIGN || which == LOSS_HEAP_HIDDEN || which == LOSS_HEAP_UNSEEN_CALL;
}

void losses_reset(void)
{
	for (unsigned i = 0; i < LOSS_COUNT; i++)
		if (!is_state(i))
			store_relaxed(&losses_count[i], 0); /* one thread lives */
}

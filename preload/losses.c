#include "losses.h"

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

void losses_reset(void)
{
	for (unsigned i = 0; i < LOSS_COUNT; i++)
		store_relaxed(&losses_count[i], 0);
}

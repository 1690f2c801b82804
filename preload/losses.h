/* Loss counters: everything the recorder could not record, by cause (losses.def). [any thread, signal handlers] */
#pragma once
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"

enum loss {
#define LOSS(id, name, meaning) LOSS_##id,
#include "losses.def"
#undef LOSS
	LOSS_COUNT
};

extern _Atomic uint64_t losses_count[LOSS_COUNT] HIDDEN;

static inline void loss_add(enum loss which, uint64_t n)
{
	add_relaxed(&losses_count[which], n); /* a statistic: orders nothing */
}

/* What was counted turned out to be no loss. */
static inline void loss_take_back(enum loss which, uint64_t n)
{
	sub_relaxed(&losses_count[which], n); /* as above */
}

const char *loss_name(enum loss which);
/* In a forked child: its own losses start at none; what is known of the program since its start stays. */
void losses_reset(void);

/* Making a model: for the reader only. What the arena holds is freed by model_free(). */
#pragma once
#include "arena.h"
#include "model.h"

/* All strings empty, all tables empty. NULL when memory runs out. */
struct model *model_new(void);
struct arena *model_arena(struct model *m);

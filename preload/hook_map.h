/* mmap and its like (hook_map.c). */
#pragma once
#include "config.h"

/* From now on, if the option says so. At the end of start-up. */
void hook_map_init(const struct config *config);

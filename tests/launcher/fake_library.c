/* Stands in for libperfprobe.so in tests of the launcher: something the loader accepts and that does nothing. */
#include "compiler.h"

EXPORT int perfprobe_fake;
int perfprobe_fake;

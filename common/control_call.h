/* How `perfprobe` wakes a process that has no control socket yet: SIGPROF by rt_tgsigqueueinfo(2), with this as its value. It goes only
 * to a process in which the library handles that signal; anybody who may send it may also kill. */
#pragma once
#include <stdint.h>

#define CONTROL_CALL ((uintptr_t)0x6c6c6163) /* "call" */

/* Profiles for tests, from text. One line is one stack, root first:
 *	[THREAD|]frame;frame;frame VALUE [COUNT]
 * A frame is NAME, or NAME@MODULE, or NAME@MODULE@FILE@LINE ("inlined" after another @). THREAD is an index into threads
 * "thread-0" (tid 1000), "thread-1" (tid 1001) ...; without one it is 0, or none for memory metrics. A name's bytes are
 * taken as they are, except that "\xHH" is the byte HH. Fails the program on nonsense: the text is the test's own. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "profile.h"

struct fake_sample {
	uint64_t time_ns;
	uint32_t weight;
	size_t line; /* of the text, from 0 */
};

enum { FAKE_THREADS = 4 };

/* The caller frees it with profile_free(). period_ns is 10 ms for cpu and wall. */
struct profile *fake_profile(enum profile_metric metric, const char *text, const struct fake_sample *samples,
                             size_t sample_count);

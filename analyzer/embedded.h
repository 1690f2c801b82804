/* Files of the source tree that the program carries inside itself (embed.cmake makes the definitions). Not terminated. */
#pragma once
#include <stddef.h>

extern const unsigned char embedded_flamegraph_css[];
extern const size_t embedded_flamegraph_css_len;
extern const unsigned char embedded_flamegraph_js[];
extern const size_t embedded_flamegraph_js_len;

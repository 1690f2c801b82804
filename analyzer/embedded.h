/* Files of the source tree that the program carries inside itself (embed.cmake makes the definitions). Not terminated. */
#pragma once
#include <stddef.h>

extern const unsigned char embedded_flamegraph_css[];
extern const size_t embedded_flamegraph_css_len;
extern const unsigned char embedded_flamegraph_js[];
extern const size_t embedded_flamegraph_js_len;
extern const unsigned char embedded_page_css[];
extern const size_t embedded_page_css_len;
extern const unsigned char embedded_page_data_js[];
extern const size_t embedded_page_data_js_len;
extern const unsigned char embedded_page_words_js[];
extern const size_t embedded_page_words_js_len;
extern const unsigned char embedded_page_flame_js[];
extern const size_t embedded_page_flame_js_len;
extern const unsigned char embedded_page_time_js[];
extern const size_t embedded_page_time_js_len;
extern const unsigned char embedded_page_table_js[];
extern const size_t embedded_page_table_js_len;
extern const unsigned char embedded_page_panels_js[];
extern const size_t embedded_page_panels_js_len;
extern const unsigned char embedded_page_js[];
extern const size_t embedded_page_js_len;
extern const unsigned char embedded_page_live_js[];
extern const size_t embedded_page_live_js_len;

/* Names from the profiled program (symbols, threads, command lines) made safe to show. They are untrusted bytes: invalid
 * UTF-8, control characters, bidirectional overrides that reorder what a person reads, characters XML forbids.
 * Context    hosted programs, any thread. Errors: memory exhaustion is sticky in the buffer. */
#pragma once
#include <stddef.h>
#include "buf.h"

/* Appends `text` as valid UTF-8: tab and line breaks become one blank each; any other character that is invalid or not
 * for showing becomes U+FFFD. What is added can stand in XML once its markup characters are escaped. */
void clean_text(struct buf *out, const char *text);
/* The same with & < > " ' escaped for XML text and attributes; at most `max_chars` characters (0: all), the last one
 * "…" where it was cut. */
void clean_xml(struct buf *out, const char *text, size_t max_chars);
/* A function name without its parameters and template arguments: "std::vector<int>::push_back(int&&)" gives
 * "std::vector::push_back". Names it cannot shorten are appended as they are. Not cleaned. */
void short_name(struct buf *out, const char *name);

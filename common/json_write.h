/* Streaming JSON emitter. Writes into a struct buf, keeps the commas and nesting right, escapes every string (also
 * what would steer a terminal that it is printed on), replaces invalid UTF-8 by U+FFFD, and writes numbers that JSON allows (NaN and infinities become null). Hosted programs.
 * Errors: memory exhaustion is sticky in the buffer (buf.failed). Wrong nesting is a programming error (assert). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

enum { JSON_MAX_DEPTH = 512 };

struct json {
	struct buf *out;
	uint32_t depth;
	bool key_pending;
	uint8_t is_object[JSON_MAX_DEPTH / 8]; /* bit per level */
	uint8_t has_item[JSON_MAX_DEPTH / 8];
};

void json_init(struct json *j, struct buf *out);
void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_string(struct json *j, const char *text); /* NULL writes null */
void json_string_n(struct json *j, const char *text, size_t len);
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);
void json_double(struct json *j, double value); /* shortest form that reads back equal to 15 digits */
void json_bool(struct json *j, bool value);
void json_null(struct json *j);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *text);

/* "key": value in one call, inside an object. */
void json_key_string(struct json *j, const char *key, const char *text);
void json_key_u64(struct json *j, const char *key, uint64_t value);
void json_key_i64(struct json *j, const char *key, int64_t value);
void json_key_double(struct json *j, const char *key, double value);
void json_key_bool(struct json *j, const char *key, bool value);

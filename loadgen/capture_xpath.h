/* XPath over one response (libxml2). Nothing is read but the response: no DTD, no entities, no network. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "err.h"

/* The text of match number `index` (from 0) is appended; *ret_count: how many there are (0 also for a text that cannot be
 * parsed). Values that are no nodes (count(), string()) are one match. */
bool capture_xpath(const char *expression, bool is_html, const char *text, size_t len, size_t index, struct buf *out,
                   size_t *ret_count);
/* -EINVAL: no XPath. */
int capture_xpath_check(const char *expression, struct err *err) MUST_USE;

/* Names of bounded number for the targets of requests: /users/4711/orders?x=y and its like are all /users/ * /orders (without
 * the blanks), so that figures by route can be kept for any program without being told its routes.
 * Context    [hook]: pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { HTTP_ROUTE_BYTES = 80 };

/* The path of a target: without scheme, host, query and fragment. *cut is cleared if the path ends within what is there. */
const char *http_path(const char *target, size_t bytes, size_t *ret_bytes, bool *cut);
/* The route of a path, NUL-terminated; its length. Segments that look like a value become a star; what is too long, or cut, ends
 * in two stars. */
size_t http_route(const char *path, size_t bytes, bool cut, char to[HTTP_ROUTE_BYTES]);

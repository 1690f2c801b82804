/* Any bytes in either direction, cut anywhere, with holes: http.c tells the same as for one piece, uses no more than it was
 * given, and routes stay in bounds. Input: byte 0 = direction, method and seed of the cuts; the rest = the stream. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "http_route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	uint64_t hash; /* of all events and where they were told */
	enum http_event last;
};

static void require(int condition)
{
	if (!condition)
		abort();
}

static void look_at_target(const struct http *h)
{
	char route[HTTP_ROUTE_BYTES];
	bool cut;
	size_t n, len;
	const char *target = http_target(h, &n, &cut), *path;

	require(target >= h->line && n <= HTTP_LINE_KEPT && target + n <= h->line + HTTP_LINE_KEPT);
	path = http_path(target, n, &n, &cut);
	len = http_route(path, n, cut, route);
	require(len < HTTP_ROUTE_BYTES && route[len] == '\0' && len > 0);
}

static enum http_event one(struct http *h, uint8_t flags, const char **at, const char *end)
{
	return flags & 1 ? http_out(h, at, end,
	                            flags & 2   ? HTTP_HEAD
	                            : flags & 4 ? HTTP_CONNECT
	                                        : HTTP_GET)
	                 : http_in(h, at, end);
}

static struct outcome feed(const uint8_t *data, size_t size, uint8_t flags, uint32_t seed)
{
	struct outcome o = { 14695981039346656037u, HTTP_MORE };
	struct http h;

	http_init(&h);
	for (size_t done = 0; done < size && o.last == HTTP_MORE;) {
		size_t piece = seed ? 1 + (seed = seed * 1103515245u + 12345u, seed >> 16) % 29 : size;
		const char *at, *end;
		char *copy;

		piece = piece < size - done ? piece : size - done;
		copy = malloc(piece);
		require(copy != NULL);
		memcpy(copy, data + done, piece);
		at = copy;
		end = copy + piece;
		do {
			const char *before = at;

			o.last = one(&h, flags, &at, end);
			require(at >= before && at <= end && (o.last != HTTP_MORE || at == end));
			if (o.last != HTTP_MORE)
				o.hash = (o.hash ^ (uint64_t)o.last ^ (done + (size_t)(at - copy)) << 8) *
				         1099511628211u;
			if (o.last == HTTP_LINE)
				look_at_target(&h);
		} while (o.last != HTTP_MORE && o.last < HTTP_SWITCH);
		free(copy);
		done += piece;
	}
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;

	if (size == 0)
		return 0;
	whole = feed(data + 1, size - 1, data[0], 0);
	cut = feed(data + 1, size - 1, data[0], data[0] | 1u);
	require(whole.last == cut.last && whole.hash == cut.hash);
	if (size > 1)
		(void)http_may_begin((const char *)data + 1, size - 1);
	return 0;
}

/* What a request takes that is seen from inside, without the system calls of a server: bytes in, bytes out, on connections that
 * take turns.
 *
 * usage: request [REQUESTS [CONNECTIONS [KIND]]]     prints nanoseconds a request, the least of 20 rounds, for each kind of request
 *
 * Links the library's modules: under callgrind it tells the instructions. A server's caches are colder than these. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "requests.h"
#include "sockets.h"
#include "start.h"
#include "threads.h"

enum { ROUNDS = 20, CONNECTIONS_MAX = 4096 };

static const struct {
	const char *name, *request, *response;
} kinds[] = {
	{ "wrk, return 200", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 16:17:47 GMT\r\nContent-Type: "
	  "text/plain\r\n"
	  "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n" },
	{ "browser, JSON",
	  "GET /api/v1/users/48151623/orders?state=open&page=2 HTTP/1.1\r\nHost: shop.example\r\nConnection: "
	  "keep-alive\r\n"
	  "Cache-Control: max-age=0\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like "
	  "Gecko) "
	  "Chrome/120.0.0.0 Safari/537.36\r\nAccept: "
	  "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
	  "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: "
	  "session=0123456789abcdef0123\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\n"
	  "Content-Length: 27\r\nETag: \"abc\"\r\nVary: Accept-Encoding\r\n\r\n{\"orders\":[],\"total\":12345}" },
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double round_of(_Atomic uintptr_t *words, size_t connections, size_t kind, uint64_t requests)
{
	const char *in = kinds[kind].request, *out = kinds[kind].response;
	size_t in_bytes = strlen(in), out_bytes = strlen(out);
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < requests; i++) {
		_Atomic uintptr_t *word = &words[i % connections];

		sockets_word_in(word, in, in_bytes);
		sockets_word_out(word, out, out_bytes);
	}
	return (double)(now_ns() - start) / (double)requests;
}

int main(int argc, char **argv)
{
	static _Atomic uintptr_t words[CONNECTIONS_MAX];
	uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, seen;
	size_t connections = argc > 2 ? strtoull(argv[2], NULL, 10) : 32;
	size_t only = argc > 3 ? strtoull(argv[3], NULL, 10) : SIZE_MAX;

	if (!requests || !connections || connections > CONNECTIONS_MAX)
		return 1;
	(void)start_recorder(); /* passive under Valgrind: what is measured does not need the rest */
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		double least = 1e18;

		if (only != SIZE_MAX && kind != only)
			continue;
		seen = requests_totals().count;
		for (int i = 0; i < ROUNDS; i++) {
			double ns = round_of(words, connections, kind, requests);

			least = ns < least ? ns : least;
		}
		if (requests_totals().count - seen != requests * ROUNDS)
			return 2;
		printf("%-16s %8.1f ns\n", kinds[kind].name, least);
	}
	return 0;
}

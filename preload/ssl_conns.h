/* The TLS connections that the program is the server of: from OpenSSL's SSL to what sockets.c knows of the connection.
 * Context    [hook]; errno is left alone.
 * Errors     none are returned: beyond the table's room connections are not followed, and counted (http.connections_full).
 * Ownership  an entry is made when the program first does something with an SSL as a server, and is free again when the last
 *            reference is gone. Words stay where they are. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_lib;

/* The connection's word, made now if there is none; NULL: it is not followed (a client's, or no room). Before the first bytes
 * come through its descriptor, which is then no connection of its own. */
_Atomic uintptr_t *ssl_conns_word(const struct ssl_lib *lib, const void *ssl);
/* A call that reads or writes: begun before the real one, and what that returned is told behind it. Where the library made it by
 * calling another of these functions by name, that one has told already: the outer one tells nothing. */
struct ssl_call {
	_Atomic uintptr_t *word;
	uint32_t told;
};
struct ssl_call ssl_conns_call(const struct ssl_lib *lib, const void *ssl);
void ssl_conns_received(const struct ssl_call *call, const void *data, size_t bytes);
void ssl_conns_sent(const struct ssl_call *call, const void *data, size_t bytes);
void ssl_conns_sent_unseen(const struct ssl_call *call, size_t bytes);

/* One reference more: it is still there after as many ssl_conns_free(). */
void ssl_conns_up_ref(const void *ssl);
/* A reference goes. Before the real call: the address may be another's at once. */
void ssl_conns_free(const void *ssl);
/* It begins anew: what went over it before is another connection. Also of an address that was made anew. */
void ssl_conns_anew(const void *ssl);

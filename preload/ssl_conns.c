/*
 * ssl_conns.c - a hash table of addresses, of fixed size.
 *
 * Shape      key[hash .. hash + WINDOW): an SSL stands in the first place of its window that was free. No tombstones: a look-up reads
 *            the whole window. The keys are apart, 16 to two cache lines; the rest is touched for what is found.
 * Invariants I1  a place's entry is empty (all 0) while its key is 0. But for a word whose connection could not be locked when it
 *                ended: it was given up, and so is what comes after it in that place.
 *            I2  what is done to an entry is done by a holder of the SSL: OpenSSL's objects are one thread's at a time.
 * Beyond it  16 connections of one window, out of 65536: with 32000 at once, one in some thousands finds no place.
 */
#include "ssl_conns.h"

#include <stddef.h>

#include "atomic.h"
#include "guard.h"
#include "losses.h"
#include "os_linux.h"
#include "sockets.h"
#include "ssl_libs.h"

enum { PLACES = 1 << 16, WINDOW = 16 };

struct entry {
	_Atomic uintptr_t word;   /* sockets.h */
	_Atomic uint32_t refs;    /* beyond the first */
	_Atomic uint32_t carrier; /* enum carrier */
};

/* Its descriptor, that it may not count as an encrypted connection. Without one, the program moves its bytes, and receives the
 * first of them before it begins with the SSL, or within a call. */
enum carrier { CARRIER_UNKNOWN, CARRIER_AWAITED, CARRIER_SETTLED };

struct table {
	_Atomic uintptr_t key[PLACES + WINDOW];
	struct entry entry[PLACES + WINDOW];
};

static struct table *_Atomic table;

static struct table *make(void)
{
	struct table *t = load_acquire(&table), *mine; /* pairs with the CAS */

	if (t)
		return t;
	mine = os_map(sizeof(*mine));
	if (!mine || cas_acq_rel(&table, &t, mine))
		return mine;
	os_unmap(mine, sizeof(*mine));
	return t;
}

/* Fibonacci hashing (Knuth, The Art of Computer Programming 6.4): blocks of malloc differ in their middle bits. */
static uint32_t window_of(const void *ssl)
{
	return (uint32_t)(((uintptr_t)ssl >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 48);
}

/* Its place; -1: it has none. */
static int64_t find(struct table *t, const void *ssl)
{
	uint32_t first = window_of(ssl);

	for (uint32_t i = first; i < first + WINDOW; i++)
		if (load_acquire(&t->key[i]) == (uintptr_t)ssl) /* pairs with the release in remove_at() */
			return i;
	return -1;
}

static int64_t add(struct table *t, const void *ssl)
{
	uint32_t first = window_of(ssl);

	for (uint32_t i = first; i < first + WINDOW; i++) {
		uintptr_t none = 0;

		if (!load_relaxed(&t->key[i]) && cas_acq_rel(&t->key[i], &none, (uintptr_t)ssl))
			return i; /* the CAS pairs with the release in remove_at(): the entry is empty */
	}
	loss_add(LOSS_HTTP_CONNECTIONS, 1);
	return -1;
}

static void remove_at(struct table *t, int64_t i)
{
	sockets_word_closing(&t->entry[i].word);
	store_relaxed(&t->entry[i].refs, 0);
	if (load_relaxed(&t->entry[i].carrier) == CARRIER_AWAITED)
		(void)sockets_decrypted(-1); /* the last time to ask */
	store_relaxed(&t->entry[i].carrier, CARRIER_UNKNOWN);
	store_release(&t->key[i], 0);
}

/* The descriptor that it reads from; -1: none. Asked for with care: a BIO that is not there is an error in OpenSSL's queue. */
static int descriptor(const struct ssl_lib *lib, const void *ssl)
{
	if (!lib->call.SSL_get_rbio || !lib->call.SSL_get_rfd || !lib->call.SSL_get_rbio(ssl))
		return -1;
	return lib->call.SSL_get_rfd(ssl);
}

/* Relaxed: I2. */
static void settle(struct entry *e, const struct ssl_lib *lib, const void *ssl)
{
	uint32_t carrier = load_relaxed(&e->carrier);
	int fd = carrier == CARRIER_UNKNOWN ? descriptor(lib, ssl) : -1;

	if (carrier != CARRIER_SETTLED)
		store_relaxed(&e->carrier, sockets_decrypted(fd) ? CARRIER_SETTLED : CARRIER_AWAITED);
}

_Atomic uintptr_t *ssl_conns_word(const struct ssl_lib *lib, const void *ssl)
{
	struct table *t;
	int64_t i;

	if (!load_relaxed(&sockets_on) || !ssl || lib->no_tls ||
	    (lib->call.SSL_is_server && !lib->call.SSL_is_server(ssl)))
		return NULL;
	t = make();
	i = t ? find(t, ssl) : -1;
	if (t && i < 0)
		i = add(t, ssl);
	if (i < 0)
		return NULL;
	settle(&t->entry[i], lib, ssl);
	return &t->entry[i].word;
}

struct ssl_call ssl_conns_call(const struct ssl_lib *lib, const void *ssl)
{
	return (struct ssl_call){ ssl_conns_word(lib, ssl), tls_self.ssl_told };
}

/* Is it to be told, by this call? */
static bool tells(const struct ssl_call *call, size_t bytes)
{
	return call->word && bytes && load_relaxed(call->word) != SOCKET_IGNORED && tls_self.ssl_told++ == call->told;
}

void ssl_conns_received(const struct ssl_call *call, const void *data, size_t bytes)
{
	if (tells(call, bytes))
		sockets_word_in(call->word, data, bytes);
}

void ssl_conns_sent(const struct ssl_call *call, const void *data, size_t bytes)
{
	if (tells(call, bytes))
		sockets_word_out(call->word, data, bytes);
}

void ssl_conns_sent_unseen(const struct ssl_call *call, size_t bytes)
{
	if (tells(call, bytes))
		sockets_word_out_unseen(call->word, bytes);
}

void ssl_conns_up_ref(const void *ssl)
{
	struct table *t = load_relaxed(&sockets_on) && ssl ? make() : NULL;
	int64_t i = t ? find(t, ssl) : -1;

	if (t && i < 0)
		i = add(t, ssl);
	if (i >= 0)
		add_relaxed(&t->entry[i].refs, 1);
}

void ssl_conns_free(const void *ssl)
{
	struct table *t = load_acquire(&table); /* pairs with the CAS in make() */
	int64_t i = t && ssl ? find(t, ssl) : -1;

	if (i < 0)
		return;
	if (load_relaxed(&t->entry[i].refs))
		sub_relaxed(&t->entry[i].refs, 1);
	else
		remove_at(t, i);
}

void ssl_conns_anew(const void *ssl)
{
	struct table *t = load_acquire(&table); /* likewise */
	int64_t i = t && ssl ? find(t, ssl) : -1;

	if (i >= 0)
		remove_at(t, i);
}

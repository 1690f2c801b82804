/* What is known of each of the program's descriptors: nothing yet, nothing to see, or an HTTP/1.x connection that a client made.
 * Context    [hook], signal handlers included; errno is left alone. Called after the real call, with what it returned, but for
 *            sockets_closing().
 * Cost       a descriptor that is no such connection: two loads and two branches a call (sockets_follow).
 * Ownership  connections live in memory that is never unmapped; a descriptor and its copies (dup) share one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"

struct iovec;

enum { SOCKETS_LEAF = 1024, SOCKETS_LEAVES = 1024 };
enum { SOCKET_NEW = 0, SOCKET_IGNORED = 1 }; /* else a pointer to its connection */

struct sockets_leaf {
	_Atomic uintptr_t word[SOCKETS_LEAF];
};
extern _Atomic bool sockets_on HIDDEN; /* false: nothing is followed */
extern struct sockets_leaf sockets_first HIDDEN;

uintptr_t sockets_word_more(int fd) HIDDEN;

static ALWAYS_INLINE uintptr_t sockets_word(int fd)
{
	return LIKELY((unsigned)fd < SOCKETS_LEAF) ? load_relaxed(&sockets_first.word[fd]) : sockets_word_more(fd);
}

/* Has what is read from it or written to it to be told? */
static ALWAYS_INLINE bool sockets_follow(int fd)
{
	return load_relaxed(&sockets_on) && sockets_word(fd) != SOCKET_IGNORED;
}

/* Is it a connection that is followed? */
static ALWAYS_INLINE bool sockets_known(int fd)
{
	return load_relaxed(&sockets_on) && sockets_word(fd) > SOCKET_IGNORED;
}

void sockets_in(int fd, const struct iovec *parts, size_t count, size_t bytes);
void sockets_out(int fd, const struct iovec *parts, size_t count, size_t bytes);
/* Bytes went by that were not seen. */
void sockets_in_unseen(int fd, size_t bytes);
void sockets_out_unseen(int fd, size_t bytes);
/* A new descriptor of that number: whatever had it before is gone. */
void sockets_fresh(int fd);
/* `to` is now another name for `from`. */
void sockets_copied(int from, int to);
/* It will be closed; before that, since the number may be another's at once. */
void sockets_closing(int fd);
void sockets_closing_range(unsigned first, unsigned last);
/* Nothing more will be sent. */
void sockets_shut(int fd);

/* How many connections are followed. [any thread] */
uint64_t sockets_connections(void);
/* A connection is told in the clear (sockets_word_in() and _out()): what is read from and written to its descriptor is none of its own.
 * Before its first bytes are received. `fd` -1: that is not known. Then one whose first bytes were received and that was counted as
 * encrypted is no more; false: there is none (yet). */
bool sockets_decrypted(int fd);

/* The same for a connection that is no descriptor: `word`, 0 at first, is the caller's, and stays where it is. Only what its server
 * receives and sends is told. [hook] */
void sockets_word_in(_Atomic uintptr_t *word, const void *data, size_t bytes);
void sockets_word_out(_Atomic uintptr_t *word, const void *data, size_t bytes);
void sockets_word_out_unseen(_Atomic uintptr_t *word, size_t bytes);
void sockets_word_shut(_Atomic uintptr_t *word);
/* It is 0 afterwards. */
void sockets_word_closing(_Atomic uintptr_t *word);

void sockets_fork_prepare(void);
void sockets_fork_parent(void);
void sockets_fork_child(void);

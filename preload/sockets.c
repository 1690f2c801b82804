/*
 * sockets.c - from bytes of descriptors to requests.
 *
 * Shape      leaf[fd / 1024]->word[fd % 1024]: what the descriptor is. The first leaf is there from the start.
 *            A connection has the two parsers (http.c) and the queue of its requests that wait for an answer, oldest first, which
 *            is the order of the answers (RFC 9112 section 9.3.2).
 *            The word may also stand elsewhere: a TLS connection's does (ssl_conns.c).
 * Invariants I1  a connection changes under its lock only, and after a look that the word still leads to it: it may have
 *                been closed, and serve another, since the word was read. Its memory is never anything else.
 *            I2  refs is the number of words that lead to it; 0: it is in the list of free ones.
 *            I3  `reading` and `answering` are 0 or in the queue; `answering` is its oldest.
 * Whom       a socket whose first bytes are received, and could be a request's. One that the program writes to first is a client's,
 *            or no HTTP.
 * Locks      a connection's, then the pool's or those of requests.c. Holders make no system call but one fstat a descriptor.
 *            A thread in here has GUARD_NET: what a signal handler reads or writes meanwhile is not followed, and as it may have
 *            been a part of some connection's messages, that one is given up.
 */
#include "sockets.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "alone.h"
#include "guard.h"
#include "http.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "requests.h"
#include "threads.h"

enum { SLAB = 256, SLABS = 256 };

struct conn {
	struct lock lock;
	uint32_t refs;
	uint32_t oldest, newest;     /* the queue; numbers of requests.h, 0: it is empty */
	uint32_t reading, answering; /* ... */
	uint32_t skipped;            /* requests behind those of the queue that found no room in it */
	bool unasked;                /* the response that is being sent answers no request */
	bool over;                   /* not to be followed any more */
	_Atomic bool torn;           /* something went by unseen */
	struct thread *owner;        /* whose http_connections counts it, or NULL */
	uint32_t owner_record;
	struct conn *next_free;
	struct http http;
};

_Atomic bool sockets_on;
struct sockets_leaf sockets_first;
static struct sockets_leaf *_Atomic leaves[SOCKETS_LEAVES];

/* Encrypted connections that were counted as such, and that nobody has decrypted yet. */
static _Atomic uint32_t hellos;

static struct lock pool_lock;
static struct conn *slabs[SLABS];
static uint32_t slab_count;
static struct conn *pool;
static _Atomic uint64_t connections; /* in use */

/* ---- the table ----------------------------------------------------------------------------------------------------- */

uintptr_t sockets_word_more(int fd)
{
	struct sockets_leaf *l;

	if (fd < 0 || fd >= SOCKETS_LEAF * SOCKETS_LEAVES)
		return SOCKET_IGNORED;
	l = load_acquire(&leaves[fd / SOCKETS_LEAF]); /* pairs with the CAS in place() */
	return l ? load_relaxed(&l->word[fd % SOCKETS_LEAF]) : SOCKET_NEW;
}

/* NULL: there is no memory, or no such descriptor. */
static _Atomic uintptr_t *place(int fd)
{
	struct sockets_leaf *l, *mine;

	if ((unsigned)fd < SOCKETS_LEAF)
		return &sockets_first.word[fd];
	if (fd < 0 || fd >= SOCKETS_LEAF * SOCKETS_LEAVES)
		return NULL;
	l = load_acquire(&leaves[fd / SOCKETS_LEAF]);
	if (!l) {
		mine = os_map(sizeof(*mine));
		if (!mine || cas_acq_rel(&leaves[fd / SOCKETS_LEAF], &l, mine))
			l = mine;
		else
			os_unmap(mine, sizeof(*mine));
	}
	return l ? &l->word[fd % SOCKETS_LEAF] : NULL;
}

/* NULL: nothing was ever known of it. */
static _Atomic uintptr_t *find(int fd)
{
	struct sockets_leaf *l;

	if ((unsigned)fd < SOCKETS_LEAF)
		return &sockets_first.word[fd];
	if (fd < 0 || fd >= SOCKETS_LEAF * SOCKETS_LEAVES)
		return NULL;
	l = load_acquire(&leaves[fd / SOCKETS_LEAF]); /* pairs with the CAS in place() */
	return l ? &l->word[fd % SOCKETS_LEAF] : NULL;
}

static void ignore(int fd)
{
	_Atomic uintptr_t *word = place(fd);

	if (word)
		store_relaxed(word, SOCKET_IGNORED);
}

/* ---- the pool ------------------------------------------------------------------------------------------------------ */

/* Lock held. */
static void add_slab(void)
{
	struct conn *c = slab_count < SLABS ? os_map(SLAB * sizeof(*c)) : NULL;

	if (!c)
		return;
	slabs[slab_count++] = c;
	for (unsigned i = SLAB; i-- > 0;) {
		c[i].next_free = pool;
		pool = &c[i];
	}
}

static struct conn *conn_new(void)
{
	struct conn *c;

	lock_enter(&pool_lock);
	if (!pool)
		add_slab();
	c = pool;
	if (c)
		pool = c->next_free;
	lock_leave(&pool_lock);
	if (!c) {
		loss_add(LOSS_HTTP_CONNECTIONS, 1);
		return NULL;
	}
	add_relaxed(&connections, 1); /* a figure: orders nothing */
	c->refs = 1;
	c->oldest = c->newest = c->reading = c->answering = c->skipped = c->owner_record = 0;
	c->unasked = c->over = false;
	c->owner = NULL;
	store_relaxed(&c->torn, false);
	http_init(&c->http);
	return c;
}

static void conn_free(struct conn *c)
{
	sub_relaxed(&connections, 1);
	lock_enter(&pool_lock);
	c->next_free = pool;
	pool = c;
	lock_leave(&pool_lock);
}

/* ---- the queue ----------------------------------------------------------------------------------------------------- */

/* What hooks know of the thread they run on, and the time, asked for once a call where it is needed. */
struct here {
	struct thread *thread; /* may be NULL */
	uint64_t now;
};

static uint64_t now(struct here *here)
{
	if (!here->now)
		here->now = os_now_ns();
	return here->now;
}

static void owner_begin(struct conn *c, struct thread *th)
{
	c->owner = th;
	if (!th)
		return;
	c->owner_record = th->record;
	store_relaxed(&th->http_connections, load_relaxed(&th->http_connections) + 1); /* th is the calling thread */
}

static void owner_end(struct conn *c)
{
	struct thread *th = c->owner;

	c->owner = NULL;
	/* A thread that ended may have become another's struct since. */
	if (!th || th->record != c->owner_record || !threads_connections(th))
		return;
	if (th == tls_self.thread)
		store_relaxed(&th->http_connections, load_relaxed(&th->http_connections) - 1);
	else
		add_relaxed(&th->http_ended, 1);
}

static void push(struct conn *c, struct here *here)
{
	uint32_t i = c->skipped ? 0 : requests_begin(here->thread, now(here));

	c->reading = i;
	if (!i) {
		loss_add(LOSS_HTTP_OPEN_FULL, 1);
		c->skipped++;
		return;
	}
	if (c->newest)
		*requests_next(c->newest) = i;
	c->newest = i;
	if (c->oldest)
		return;
	c->oldest = i;
	owner_begin(c, here->thread);
}

/* Takes the oldest out of the queue; it is the caller's. */
static uint32_t pop(struct conn *c)
{
	uint32_t i = c->oldest;

	c->oldest = *requests_next(i);
	if (!c->oldest) {
		c->newest = 0;
		owner_end(c);
	}
	if (c->reading == i)
		c->reading = 0;
	c->answering = 0;
	return i;
}

/* Nothing more is told of this connection. `count`: its requests stay without an answer; else nobody knows. */
static void end(struct conn *c, bool count)
{
	while (c->oldest)
		requests_drop(pop(c), count);
	c->skipped = 0;
	c->over = true;
}

static void give_up(struct conn *c)
{
	if (!c->http.first)
		loss_add(LOSS_HTTP_GIVEN_UP, 1); /* before the first request line there was no HTTP */
	end(c, false);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

/* Is the request whose line was read the next to be worked on? The one before may be another thread's, which has sent the answer's last
 * byte and has not told of it yet. */
static bool is_next(const struct conn *c)
{
	return c->reading == c->oldest ||
	       (c->oldest && *requests_next(c->oldest) == c->reading && requests_handed(c->oldest));
}

/* The request's line is known. */
static void line_read(struct conn *c, struct here *here)
{
	size_t bytes;
	bool cut;
	const char *target = http_target(&c->http, &bytes, &cut);

	if (!c->reading)
		return;
	requests_line(c->reading, (enum http_method)c->http.method, target, bytes, cut);
	if (here->thread && is_next(c))
		requests_work(here->thread, c->reading, now(here));
}

static void on_in(struct conn *c, enum http_event e, struct here *here)
{
	switch (e) {
	case HTTP_BEGIN:
		push(c, here);
		break;
	case HTTP_LINE:
		line_read(c, here);
		break;
	case HTTP_END:
		c->reading = 0;
		break;
	case HTTP_IS_H2:
		loss_add(LOSS_HTTP_H2, 1);
		end(c, false);
		break;
	case HTTP_LOST:
		give_up(c);
		break;
	default:
		break;
	}
}

/* What usually comes: a head in one piece. */
static const char *head_in(struct conn *c, const char *at, const char *stop, struct here *here)
{
	const char *start = at;
	enum http_event e = http_in_begin(&c->http, &at, stop, here->thread ? &here->thread->http_in : NULL);

	if (e == HTTP_MORE)
		return at;
	push(c, here);
	if (c->reading)
		requests_open(c->reading)->bytes_in += (uint64_t)(at - start);
	line_read(c, here);
	if (e == HTTP_END)
		c->reading = 0;
	return at;
}

static void bytes_in(struct conn *c, const char *at, const char *stop, struct here *here)
{
	enum http_event e;

	at = head_in(c, at, stop, here);
	while (at < stop && !c->over) {
		const char *before = at;

		e = http_in(&c->http, &at, stop);
		if (c->reading)
			requests_open(c->reading)->bytes_in += (uint64_t)(at - before);
		on_in(c, e, here);
	}
}

/* The response is complete. */
static void answered(struct conn *c, struct here *here)
{
	bool told = here->thread && here->thread->http_told;

	if (c->answering) {
		requests_done(pop(c), here->thread, now(here));
		/* Pipelined. A thread that was told what it works on is told the next, too; one of a pool that answers what another has
		 * read may be given anything. */
		if (c->oldest && here->thread && !told &&
		    requests_open(c->oldest)->thread_start == (uint16_t)here->thread->record)
			requests_work(here->thread, c->oldest, now(here));
	} else if (c->skipped && !c->unasked) {
		c->skipped--;
		requests_done_unseen();
	}
	c->unasked = false;
}

static void on_out(struct conn *c, enum http_event e, struct here *here)
{
	switch (e) {
	case HTTP_BEGIN:
		c->answering = c->oldest;
		c->unasked = !c->oldest && !c->skipped;
		if (c->answering)
			requests_open(c->answering)->first_ns = now(here);
		break;
	case HTTP_INTERIM:
		c->answering = 0;
		break;
	case HTTP_END:
		answered(c, here);
		break;
	case HTTP_SWITCH:
		answered(c, here);
		end(c, false);
		break;
	case HTTP_LOST:
		give_up(c);
		break;
	default:
		break;
	}
}

/* What usually comes: a head in one piece, for a request that waits. */
static const char *head_out(struct conn *c, const char *at, const char *stop, struct here *here)
{
	struct request *r = c->oldest && !c->answering ? requests_open(c->oldest) : NULL;
	const char *start = at;
	enum http_event e = r ? http_out_begin(&c->http, &at, stop, (enum http_method)r->method,
	                                       here->thread ? &here->thread->http_out : NULL)
	                      : HTTP_MORE;

	if (e == HTTP_MORE)
		return at;
	c->answering = c->oldest;
	c->unasked = false;
	r->first_ns = now(here);
	r->bytes_out += (uint64_t)(at - start);
	r->status = c->http.status;
	if (e == HTTP_END)
		answered(c, here);
	return at;
}

static void bytes_out(struct conn *c, const char *at, const char *stop, struct here *here)
{
	enum http_event e;

	at = head_out(c, at, stop, here);
	while (at < stop && !c->over) {
		struct request *r = c->answering ? requests_open(c->answering) : NULL;
		const char *before = at;

		e = http_out(&c->http, &at, stop, r ? (enum http_method)r->method : HTTP_GET);
		if (r) {
			r->bytes_out += (uint64_t)(at - before);
			r->status = c->http.status;
		}
		on_out(c, e, here);
	}
}

/* ---- from a word to its connection --------------------------------------------------------------------------------- */

#define PATIENCE_NS UINT64_C(100000000)

static struct here here_now(struct tls *t)
{
	if (UNLIKELY(!t->thread) && !t->ended)
		(void)threads_attach(t, 0, 0); /* a failure is counted there */
	return (struct here){ t->thread, 0 };
}

/* The word leads to it no longer. */
static void unref(struct conn *c, _Atomic uintptr_t *word, uintptr_t now_is)
{
	store_relaxed(word, now_is);
	if (--c->refs == 0)
		conn_free(c);
}

static void leave(struct conn *c, _Atomic uintptr_t *word, struct tls *t)
{
	if (c->over)
		unref(c, word, SOCKET_IGNORED);
	lock_leave(&c->lock);
	guard_leave(t, GUARD_NET);
}

/* The word's connection, locked; NULL: it has none (any more), or it has to be given up. Then the guard is left. */
static struct conn *enter(_Atomic uintptr_t *word, struct tls *t)
{
	uintptr_t was = word ? load_relaxed(word) : SOCKET_NEW;
	struct conn *c = (struct conn *)was;

	if (was <= SOCKET_IGNORED)
		return NULL;
	if (!guard_enter(t, GUARD_NET)) {
		loss_add(LOSS_HTTP_NESTED, 1);
		store_relaxed(&c->torn, true);
		return NULL;
	}
	/* Waits for a holder that was preempted; in vain for one whose signal handler left by longjmp. */
	if (!shared_lock_try(&c->lock) && !lock_try_for(&c->lock, 64) && !lock_within(&c->lock, PATIENCE_NS)) {
		store_relaxed(&c->torn, true);
		guard_leave(t, GUARD_NET);
		return NULL;
	}
	if (load_relaxed(word) != was) { /* relaxed: whoever changes the word of a connection in use holds its lock */
		lock_leave(&c->lock);
		guard_leave(t, GUARD_NET);
		return NULL;
	}
	if (UNLIKELY(load_relaxed(&c->torn)))
		give_up(c);
	if (!c->over)
		return c;
	leave(c, word, t);
	return NULL;
}

/* A connection for a word that has none. True: it is there now. */
static bool begin(_Atomic uintptr_t *word, struct tls *t)
{
	uintptr_t none = SOCKET_NEW;
	struct conn *c;

	if (!guard_enter(t, GUARD_NET))
		return false; /* the pool's lock may be this thread's */
	c = conn_new();
	if (c && !cas_acq_rel(word, &none, (uintptr_t)c)) {
		conn_free(c);
		c = NULL;
	}
	guard_leave(t, GUARD_NET);
	return c != NULL;
}

typedef void parse_bytes(struct conn *c, const char *at, const char *stop, struct here *here);

static void take(_Atomic uintptr_t *word, const struct iovec *parts, size_t count, size_t bytes, parse_bytes *parse)
{
	struct tls *t = &tls_self;
	struct conn *c = enter(word, t);
	struct here here;

	if (!c)
		return;
	here = here_now(t);
	for (size_t i = 0; i < count && bytes && !c->over; i++) {
		const char *at = parts[i].iov_base;
		size_t n = parts[i].iov_len < bytes ? parts[i].iov_len : bytes;

		bytes -= n;
		if (n)
			parse(c, at, at + n, &here);
	}
	leave(c, word, t);
}

static void in_unseen(_Atomic uintptr_t *word, size_t bytes)
{
	struct tls *t = &tls_self;
	struct conn *c = enter(word, t);
	struct here here;

	if (!c)
		return;
	here = here_now(t);
	if (c->reading)
		requests_open(c->reading)->bytes_in += bytes;
	on_in(c, http_in_skip(&c->http, bytes), &here);
	leave(c, word, t);
}

static void out_unseen(_Atomic uintptr_t *word, size_t bytes)
{
	struct tls *t = &tls_self;
	struct conn *c = enter(word, t);
	struct here here;

	if (!c)
		return;
	here = here_now(t);
	if (c->answering)
		requests_open(c->answering)->bytes_out += bytes;
	on_out(c, http_out_skip(&c->http, bytes), &here);
	leave(c, word, t);
}

static void shut(_Atomic uintptr_t *word)
{
	struct tls *t = &tls_self;
	struct conn *c = enter(word, t);
	struct here here;

	if (!c)
		return;
	here = here_now(t);
	if (http_out_close(&c->http) == HTTP_END)
		answered(c, &here);
	leave(c, word, t);
}

static void closing(_Atomic uintptr_t *word)
{
	struct tls *t = &tls_self;
	struct conn *c = enter(word, t);
	struct here here;

	if (!c) {
		if (word && load_relaxed(word) == SOCKET_IGNORED)
			store_relaxed(word, SOCKET_NEW);
		return;
	}
	here = here_now(t);
	if (c->refs == 1) {
		if (http_out_close(&c->http) == HTTP_END)
			answered(c, &here);
		end(c, true);
	}
	unref(c, word, SOCKET_NEW);
	lock_leave(&c->lock);
	guard_leave(t, GUARD_NET);
}

/* ---- connections whose word is kept elsewhere ---------------------------------------------------------------------- */

/* A server of HTTP/2 need not wait for the client's preface before it sends its own, a frame SETTINGS (RFC 9113 section 3.4):
 * length, a multiple of 6; type 4; flags 0; stream 0 (sections 4.1, 6.5). */
static bool http2_settings(const unsigned char *data, size_t bytes)
{
	return bytes >= 9 && data[0] == 0 && (data[1] << 8 | data[2]) % 6 == 0 && data[3] == 4 &&
	       memcmp(data + 4, "\0\0\0\0", 5) == 0;
}

void sockets_word_in(_Atomic uintptr_t *word, const void *data, size_t bytes)
{
	struct iovec part = { (void *)(uintptr_t)data, bytes };

	if (load_relaxed(word) == SOCKET_NEW) {
		if (!http_may_begin(data, bytes)) {
			store_relaxed(word, SOCKET_IGNORED);
			return;
		}
		if (!begin(word, &tls_self))
			return;
	}
	take(word, &part, 1, bytes, bytes_in);
}

void sockets_word_out(_Atomic uintptr_t *word, const void *data, size_t bytes)
{
	struct iovec part = { (void *)(uintptr_t)data, bytes };

	if (load_relaxed(word) == SOCKET_NEW) {
		if (http2_settings(data, bytes))
			loss_add(LOSS_HTTP_H2, 1);
		store_relaxed(word, SOCKET_IGNORED);
	} else {
		take(word, &part, 1, bytes, bytes_out);
	}
}

void sockets_word_out_unseen(_Atomic uintptr_t *word, size_t bytes)
{
	if (load_relaxed(word) == SOCKET_NEW)
		store_relaxed(word, SOCKET_IGNORED);
	else
		out_unseen(word, bytes);
}

void sockets_word_shut(_Atomic uintptr_t *word)
{
	shut(word);
}

void sockets_word_closing(_Atomic uintptr_t *word)
{
	closing(word);
}

/* ---- descriptors --------------------------------------------------------------------------------------------------- */

static bool is_socket(int fd)
{
	struct stat st;

	return os_fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The first bytes from a descriptor nothing is known of. True: it is a connection now. */
static bool look(int fd, const char *data, size_t bytes, struct tls *t)
{
	_Atomic uintptr_t *word = place(fd);
	bool tls = bytes >= 2 && data[0] == 0x16 && data[1] == 3;

	if (!word)
		return false;
	if ((!tls && !http_may_begin(data, bytes)) || !is_socket(fd) || tls) {
		if (tls && is_socket(fd)) {
			loss_add(LOSS_HTTP_TLS, 1);
			add_relaxed(&hellos, 1);
		}
		store_relaxed(word, SOCKET_IGNORED);
		return false;
	}
	return begin(word, t);
}

bool sockets_decrypted(int fd)
{
	uint32_t n = load_relaxed(&hellos);

	if (fd >= 0) {
		if (sockets_word(fd) == SOCKET_NEW)
			ignore(fd); /* what comes through it is told in the clear */
		return true;
	}
	while (n && !cas_relaxed(&hellos, &n, n - 1))
		;
	if (n)
		loss_take_back(LOSS_HTTP_TLS, 1);
	return n > 0;
}

void sockets_in(int fd, const struct iovec *parts, size_t count, size_t bytes)
{
	size_t i = 0;

	if (sockets_word(fd) == SOCKET_NEW) {
		while (i < count && !parts[i].iov_len)
			i++;
		if (i == count ||
		    !look(fd, parts[i].iov_base, parts[i].iov_len < bytes ? parts[i].iov_len : bytes, &tls_self))
			return;
	}
	take(find(fd), parts, count, bytes, bytes_in);
}

void sockets_out(int fd, const struct iovec *parts, size_t count, size_t bytes)
{
	if (sockets_word(fd) == SOCKET_NEW)
		ignore(fd);
	else
		take(find(fd), parts, count, bytes, bytes_out);
}

void sockets_in_unseen(int fd, size_t bytes)
{
	if (sockets_word(fd) == SOCKET_NEW)
		ignore(fd);
	else
		in_unseen(find(fd), bytes);
}

void sockets_out_unseen(int fd, size_t bytes)
{
	if (sockets_word(fd) == SOCKET_NEW)
		ignore(fd);
	else
		out_unseen(find(fd), bytes);
}

void sockets_shut(int fd)
{
	shut(find(fd));
}

void sockets_closing(int fd)
{
	closing(find(fd));
}

void sockets_fresh(int fd)
{
	if (sockets_word(fd) != SOCKET_NEW)
		sockets_closing(fd);
}

void sockets_closing_range(unsigned first, unsigned last)
{
	for (unsigned i = first / SOCKETS_LEAF; i < SOCKETS_LEAVES && i <= last / SOCKETS_LEAF; i++) {
		if (i && !load_acquire(&leaves[i])) /* pairs with the CAS in place() */
			continue;
		for (unsigned k = 0; k < SOCKETS_LEAF; k++) {
			unsigned fd = i * SOCKETS_LEAF + k;

			if (fd >= first && fd <= last && sockets_word((int)fd) != SOCKET_NEW)
				sockets_closing((int)fd);
		}
	}
}

void sockets_copied(int from, int to)
{
	struct tls *t = &tls_self;
	_Atomic uintptr_t *word = place(to);
	struct conn *c;

	if (!word || from == to)
		return;
	sockets_fresh(to);
	c = enter(find(from), t);
	if (!c) {
		store_relaxed(word, sockets_word(from) == SOCKET_IGNORED ? SOCKET_IGNORED : SOCKET_NEW);
		return;
	}
	c->refs++;
	store_relaxed(word, (uintptr_t)c);
	lock_leave(&c->lock);
	guard_leave(t, GUARD_NET);
}

uint64_t sockets_connections(void)
{
	return load_relaxed(&connections);
}

/* ---- fork ---------------------------------------------------------------------------------------------------------- */

void sockets_fork_prepare(void)
{
	lock_enter(&pool_lock);
}

void sockets_fork_parent(void)
{
	lock_leave(&pool_lock);
}

/* A connection that another thread was changing is half changed here. */
void sockets_fork_child(void)
{
	lock_leave(&pool_lock);
	store_relaxed(&hellos, 0);
	for (uint32_t i = 0; i < slab_count; i++)
		for (unsigned k = 0; k < SLAB; k++) {
			struct conn *c = &slabs[i][k];

			c->owner = NULL;
			if (load_relaxed(&c->lock.word)) {
				store_relaxed(&c->torn, true);
				store_relaxed(&c->lock.word, 0);
			}
		}
}

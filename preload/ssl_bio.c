/*
 * ssl_bio.c - three words of a table in libssl.
 *
 * Why so     The filter calls what stands behind SSL_read() inside libssl, by no name that could be interposed. A copy of its table,
 *            given to the program instead, would need to know the caller of BIO_f_ssl() in a process with two libraries.
 * Which      libcrypto tells which functions a table has (BIO_meth_get_read_ex and its like, OpenSSL 1.1.1 and later); the words that
 *            hold them are found by their values. The libcrypto is the one that this libssl is bound to.
 * Whose      A BIO leads to its table, which is in the library: found by the same rule as for an SSL (ssl_libs.c).
 * Invariants An entry is complete before the first word of its table leads here, and is never changed again.
 */
#include "ssl_bio.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "objects.h"
#include "redirect.h"
#include "sockets.h"
#include "ssl_conns.h"
#include "ssl_libs.h"

struct bio; /* OpenSSL's BIO and BIO_METHOD */
struct bio_method;

typedef int read_ex(struct bio *bio, char *to, size_t bytes, size_t *ret_bytes);
typedef int write_ex(struct bio *bio, const char *from, size_t bytes, size_t *ret_bytes);
typedef long control(struct bio *bio, int what, long number, void *pointer);
typedef int destroy(struct bio *bio);

enum {
	METHOD_WORDS = 12 /* of OpenSSL 1.1.1's and 3's table, all */,
	GET_CLOSE = 8 /* BIO_CTRL_ */,
	GET_SSL = 110 /* BIO_C_ */
};

struct followed {
	const struct ssl_lib *lib;
	read_ex *read;
	write_ex *write;
	control *control;
	destroy *destroy;
	bool frees_by_name; /* the library's own calls of SSL_free() come to the hook */
};

static struct followed followed[SSL_LIBS];
static _Atomic uint32_t count;
static struct lock adding;

/* ---- called by libcrypto ------------------------------------------------------------------------------------------- */

static const struct followed *followed_of(const struct bio *bio)
{
	const struct ssl_lib *lib = ssl_libs_of(bio);
	uint32_t n = load_acquire(&count); /* pairs with the release in ssl_bio_follow() */

	for (uint32_t i = 0; i < n; i++)
		if (followed[i].lib == lib)
			return &followed[i];
	return NULL;
}

static const void *ssl_of(const struct followed *f, struct bio *bio)
{
	void *ssl = NULL;

	return f->control(bio, GET_SSL, 0, &ssl) > 0 ? ssl : NULL;
}

static struct ssl_call call_of(const struct followed *f, struct bio *bio)
{
	return ssl_conns_call(f->lib, ssl_of(f, bio));
}

static int our_read(struct bio *bio, char *to, size_t bytes, size_t *ret_bytes)
{
	const struct followed *f = followed_of(bio);
	struct ssl_call call;
	int rc;

	if (!f)
		return 0;
	call = call_of(f, bio);
	rc = f->read(bio, to, bytes, ret_bytes);
	if (rc > 0)
		ssl_conns_received(&call, to, *ret_bytes);
	return rc;
}

static int our_write(struct bio *bio, const char *from, size_t bytes, size_t *ret_bytes)
{
	const struct followed *f = followed_of(bio);
	struct ssl_call call;
	int rc;

	if (!f)
		return 0;
	call = call_of(f, bio);
	rc = f->write(bio, from, bytes, ret_bytes);
	if (rc > 0)
		ssl_conns_sent(&call, from, *ret_bytes);
	return rc;
}

/* It shuts the connection down, and gives up its reference where it has one. */
static int our_destroy(struct bio *bio)
{
	const struct followed *f = followed_of(bio);
	const void *ssl = f ? ssl_of(f, bio) : NULL;
	_Atomic uintptr_t *word = ssl ? ssl_conns_word(f->lib, ssl) : NULL;

	if (word)
		sockets_word_shut(word);
	if (word && !f->frees_by_name && f->control(bio, GET_CLOSE, 0, NULL))
		ssl_conns_free(ssl);
	return f ? f->destroy(bio) : 0;
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

struct search {
	const struct ssl_lib *lib;
	struct object ssl, crypto;
	uintptr_t in_crypto; /* an address */
};

static int find_ssl(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	return info->dlpi_addr == s->lib->base && object_read(&s->ssl, info);
}

static int find_crypto(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	return object_read(&s->crypto, info) && object_holds(&s->crypto, s->in_crypto);
}

static uintptr_t function(const struct object *o, const char *name)
{
	const ElfW(Sym) *s = object_function(o, name);

	return s ? o->base + s->st_value : 0;
}

/* What libcrypto's function of that name says of the table. */
static uintptr_t asked(const struct search *s, const char *name, const struct bio_method *method)
{
	uintptr_t (*get)(const struct bio_method *) =
	        (uintptr_t(*)(const struct bio_method *))function(&s->crypto, name);

	return get ? get(method) : 0;
}

static uintptr_t *word_with(const struct bio_method *method, uintptr_t value)
{
	uintptr_t *word = (uintptr_t *)method;

	for (unsigned i = 0; value && i < METHOD_WORDS; i++)
		if (word[i] == value)
			return &word[i];
	return NULL;
}

/* `adding` held; its entry is begun. Reads are led last: who sees a request through them sees its answer, too. Where a page cannot
 * be written nothing is lost but these. */
static void lead(struct search *s, const struct bio_method *method, struct followed *f)
{
	uintptr_t *read = word_with(method, (uintptr_t)f->read), *write = word_with(method, (uintptr_t)f->write);
	uintptr_t *end = word_with(method, (uintptr_t)f->destroy);

	if (read && write && end && f->control && redirect_word(&s->ssl, end, (uintptr_t)our_destroy) == 0 &&
	    redirect_word(&s->ssl, write, (uintptr_t)our_write) == 0)
		(void)redirect_word(&s->ssl, read, (uintptr_t)our_read);
}

static bool is_followed(const struct ssl_lib *lib)
{
	uint32_t n = load_acquire(&count); /* pairs with the release in ssl_bio_follow() */

	for (uint32_t i = 0; i < n; i++)
		if (followed[i].lib == lib)
			return true;
	return false;
}

/* Fills the entry in. `adding` held. libcrypto may be a part of the same library. */
static const struct bio_method *find_table(struct search *s, struct followed *f)
{
	const struct bio_method *(*filter)(void), *method;
	uintptr_t freeing;

	if (!dl_iterate_phdr(find_ssl, s))
		return NULL;
	filter = (const struct bio_method *(*)(void))function(&s->ssl, "BIO_f_ssl");
	s->in_crypto = object_bound_to(&s->ssl, "BIO_ctrl");
	if (!s->in_crypto)
		s->in_crypto = function(&s->ssl, "BIO_ctrl");
	if (!filter || !s->in_crypto || !dl_iterate_phdr(find_crypto, s))
		return NULL;
	method = filter();
	f->read = (read_ex *)asked(s, "BIO_meth_get_read_ex", method);
	f->write = (write_ex *)asked(s, "BIO_meth_get_write_ex", method);
	f->control = (control *)asked(s, "BIO_meth_get_ctrl", method);
	f->destroy = (destroy *)asked(s, "BIO_meth_get_destroy", method);
	freeing = object_bound_to(&s->ssl, "SSL_free");
	f->frees_by_name = freeing && !object_holds(&s->ssl, freeing);
	return method;
}

void ssl_bio_follow(const struct ssl_lib *lib)
{
	if (LIKELY(is_followed(lib)))
		return;
	lock_enter(&adding);
	if (!is_followed(lib) && load_relaxed(&count) < SSL_LIBS) {
		struct search s = { .lib = lib };
		struct followed *f = &followed[load_relaxed(&count)];
		const struct bio_method *method = find_table(&s, f);

		f->lib = lib; /* also where it has no such table: it is not looked for again */
		store_release(&count, load_relaxed(&count) + 1);
		if (method)
			lead(&s, method, f);
	}
	lock_leave(&adding);
}

void ssl_bio_fork_child(void)
{
	store_relaxed(&adding.word, 0); /* one thread lives */
}

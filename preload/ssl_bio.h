/* OpenSSL's filter BIO_f_ssl: programs that read and write a TLS connection through it call BIO_read() and BIO_gets() of a chain, and
 * never SSL_read(). Its table of functions is led to ours, which call the library's.
 * Context    [hook], not in signal handlers.
 * Errors     where it cannot be done such connections are not seen: their descriptors count as encrypted. */
#pragma once

struct ssl_lib;

/* From now on the library's filter is followed. */
void ssl_bio_follow(const struct ssl_lib *lib);
/* In a forked child: who was at it is not there. */
void ssl_bio_fork_child(void);

/*
 * http_post.c - a POST through libcurl.
 *
 * Certificates and names are verified, always. Redirections are not followed: they would carry a token to somewhere else. Tried again
 * is what a moment can mend: no connection, a timeout, 429 and 5xx (but 501), and gRPC's "unavailable" and "exhausted";
 * a server's Retry-After is obeyed, up to a minute.
 */
#include "http_post.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#define CURL_DISABLE_TYPECHECK /* they call by name what is called by pointer here */
#include <curl/curl.h>

#include "clean_text.h"
#include "units.h"

#define LIBRARY    "libcurl.so.4"
#define MAX_WAIT_S 60

/* curl.h makes macros of some of these names. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#define FUNCTIONS(X)   \
	X(easy_init)   \
	X(easy_setopt) \
	X(easy_perform) X(easy_getinfo) X(easy_cleanup) X(easy_strerror) X(slist_append) X(slist_free_all)

struct curl_functions {
#define POINTER(name) __typeof__(curl_##name) *name;
	FUNCTIONS(POINTER)
#undef POINTER
};

static int open_curl(struct curl_functions *f, struct err *err)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays for the process's life */

	if (!library)
		return err_set(err, -ENOENT, "push needs libcurl (Debian: libcurl4): %s", dlerror());
#define LOOK_UP(name)                                                 \
	f->name = (__typeof__(f->name))dlsym(library, "curl_" #name); \
	if (!f->name)                                                 \
		return err_set(err, -ENOENT, "%s has no function curl_%s", LIBRARY, #name);
	FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	return 0;
}

/* ---- what comes back ---- */

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct http_answer *a = context;
	size_t bytes = size * count, room = HTTP_POST_ANSWER - a->body.len;

	buf_add(&a->body, data, bytes < room ? bytes : room);
	return bytes; /* the rest is read and dropped */
}

static void take_field(struct buf *to, const char *name, const char *line, size_t bytes)
{
	size_t n = strlen(name);

	if (bytes <= n || strncasecmp(line, name, n) != 0)
		return;
	buf_clear(to);
	for (line += n, bytes -= n; bytes && isspace((unsigned char)*line); line++)
		bytes--;
	while (bytes && isspace((unsigned char)line[bytes - 1]))
		bytes--;
	buf_add(to, line, bytes);
}

static void take_grpc(struct http_answer *a, const char *line, size_t bytes)
{
	take_field(&a->grpc_status, "grpc-status:", line, bytes);
	take_field(&a->grpc_message, "grpc-message:", line, bytes);
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
	take_grpc(context, data, size * count);
	return size * count;
}

/* gRPC-Web: frames of a flag, four bytes of length, and bytes; the one with the flag 0x80 holds what HTTP/2 has as trailers. */
void http_answer_read_frames(struct http_answer *a)
{
	const uint8_t *at = (const uint8_t *)a->body.data, *end = at + a->body.len;

	while (end - at >= 5) {
		size_t bytes = (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
		bool trailers = at[0] & 0x80;
		const char *line = (const char *)at + 5;

		if (bytes > (size_t)(end - at) - 5)
			return;
		at += 5 + bytes;
		while (trailers && line < (const char *)at) {
			const char *stop = memchr(line, '\n', (size_t)((const char *)at - line));

			stop = stop ? stop + 1 : (const char *)at;
			take_grpc(a, line, (size_t)(stop - line));
			line = stop;
		}
	}
}

/* ---- one try ---- */

struct attempt {
	const struct curl_functions *f;
	CURL *handle;
	CURLcode code;
	char why[CURL_ERROR_SIZE];
	long retry_after_s;
};

static void set_options(struct attempt *t, const struct http_post *post, struct http_answer *a,
                        struct curl_slist *headers)
{
	const struct curl_functions *f = t->f;
	CURL *h = t->handle;

	f->easy_setopt(h, CURLOPT_URL, post->url);
	f->easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	f->easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	f->easy_setopt(h, CURLOPT_ERRORBUFFER, t->why);
	f->easy_setopt(h, CURLOPT_USERAGENT, "probe-analyze/" PERFPROBE_VERSION);
	f->easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	f->easy_setopt(h, CURLOPT_POSTFIELDS, post->body);
	f->easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body_bytes);
	f->easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(post->timeout_ns / NS_PER_MS));
	f->easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
	f->easy_setopt(h, CURLOPT_WRITEDATA, a);
	f->easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	f->easy_setopt(h, CURLOPT_HEADERDATA, a);
	if (post->ca_file)
		f->easy_setopt(h, CURLOPT_CAINFO, post->ca_file);
}

static int try_once(const struct curl_functions *f, const struct http_post *post, struct http_answer *a,
                    struct attempt *t)
{
	struct curl_slist *headers = f->slist_append(NULL, "Expect:"); /* no waiting for 100 Continue */
	curl_off_t retry_after = 0;
	int rc = headers ? 0 : -ENOMEM;

	*t = (struct attempt){ .f = f, .handle = f->easy_init() };
	for (size_t i = 0; i < HTTP_POST_HEADERS && post->headers[i] && rc == 0; i++) {
		struct curl_slist *more = f->slist_append(headers, post->headers[i]);

		rc = more ? 0 : -ENOMEM;
		headers = more ? more : headers;
	}
	if (rc == 0 && t->handle) {
		buf_clear(&a->body);
		buf_clear(&a->grpc_status);
		buf_clear(&a->grpc_message);
		a->status = 0;
		set_options(t, post, a, headers);
		t->code = f->easy_perform(t->handle);
		f->easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &a->status);
		f->easy_getinfo(t->handle, CURLINFO_RETRY_AFTER, &retry_after);
		t->retry_after_s = retry_after > MAX_WAIT_S ? MAX_WAIT_S : (long)retry_after;
		if (post->grpc)
			http_answer_read_frames(a);
	}
	f->slist_free_all(headers);
	if (!t->handle)
		rc = -ENOMEM;
	else
		f->easy_cleanup(t->handle);
	return rc;
}

static bool grpc_failed(const struct http_post *post, const struct http_answer *a)
{
	return post->grpc && (!a->grpc_status.len || strcmp(a->grpc_status.data, "0") != 0);
}

static bool succeeded(const struct http_post *post, const struct http_answer *a, const struct attempt *t)
{
	return t->code == CURLE_OK && a->status >= 200 && a->status < 300 && !grpc_failed(post, a);
}

static bool may_pass(const struct http_post *post, const struct http_answer *a, const struct attempt *t)
{
	switch (t->code) {
	case CURLE_OK:
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return true;
	default:
		return false;
	}
	if (post->grpc && a->grpc_status.len)
		return strcmp(a->grpc_status.data, "14") == 0 || strcmp(a->grpc_status.data, "8") == 0;
	return a->status == 429 || (a->status >= 500 && a->status != 501);
}

/* Doubled each time, and up to a half more by chance: many who failed at once should not come back at once. */
static void wait_for(const struct http_post *post, unsigned done, long retry_after_s)
{
	uint64_t ns = post->wait_ns << (done < 16 ? done : 16), most = MAX_WAIT_S * NS_PER_S;
	struct timespec now, left;

	if (clock_gettime(CLOCK_MONOTONIC, &now) == 0 && ns)
		ns += (uint64_t)now.tv_nsec * 2654435761u % (ns / 2 + 1);
	ns = ns > most ? most : ns;
	if (ns < (uint64_t)retry_after_s * NS_PER_S)
		ns = (uint64_t)retry_after_s * NS_PER_S;
	left = (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* What the server said, on one line and without what could harm a terminal. */
static int refuse(const struct http_post *post, const struct http_answer *a, const struct attempt *t, struct err *err)
{
	struct buf said = { 0 };
	const char *tries = a->tries == 1 ? "try" : "tries";

	if (t->code != CURLE_OK) {
		(void)err_set(err, -EIO, "cannot send to %s: %s (%u %s)", post->url,
		              t->why[0] ? t->why : t->f->easy_strerror(t->code), a->tries, tries);
	} else if (a->status / 100 == 2 && grpc_failed(post, a)) {
		clean_text(&said, a->grpc_message.data ? a->grpc_message.data : "");
		(void)err_set(err, -EIO, "%s refused it: gRPC status %s%s%.150s (%u %s)", post->url,
		              a->grpc_status.len ? a->grpc_status.data : "missing: this is no gRPC-Web server",
		              said.len ? ": " : "", said.data ? said.data : "", a->tries, tries);
	} else {
		clean_text(&said, a->body.data ? a->body.data : "");
		(void)err_set(err, -EIO, "%s answered %ld%s%.150s (%u %s)", post->url, a->status, said.len ? ": " : "",
		              said.data ? said.data : "", a->tries, tries);
	}
	buf_done(&said);
	return -EIO;
}

int http_post_send(const struct http_post *post, struct http_answer *ret, struct err *err)
{
	struct curl_functions f;
	struct attempt t;
	int rc;

	*ret = (struct http_answer){ 0 };
	rc = open_curl(&f, err);
	if (rc < 0)
		return rc;
	for (;;) {
		rc = try_once(&f, post, ret, &t);
		ret->tries++;
		if (rc < 0 || ret->body.failed)
			return err_set(err, -ENOMEM, "out of memory");
		if (succeeded(post, ret, &t))
			return 0;
		if (ret->tries > post->retries || !may_pass(post, ret, &t))
			return refuse(post, ret, &t, err);
		wait_for(post, ret->tries - 1, t.retry_after_s);
	}
}

void http_answer_done(struct http_answer *a)
{
	buf_done(&a->body);
	buf_done(&a->grpc_status);
	buf_done(&a->grpc_message);
}

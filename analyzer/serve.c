/*
 * serve.c - answers of the page's server.
 *
 * One thread answers one request after the other, so that memory is that of one recording and of the last few answers; a
 * recording's answer is kept until its file changes. No path of a request is ever opened: a name is looked up in a fresh list of the
 * directory, and what is opened is the list's.
 */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd.h"
#include "html.h"
#include "html_data.h"
#include "json_write.h"
#include "serve_list.h"
#include "serve_peer.h"

enum { KEPT = 4, CONNECTIONS = 32, CONNECTION_BYTES = 32 << 10, IDLE_S = 30 };

struct kept {
	char *name;
	uint64_t version, used; /* used: the newer the larger */
	struct MHD_Response *response;
};

struct serve {
	struct MHD_Daemon *daemon;
	int directory;
	uint16_t port;
	bool any_user;
	struct kept kept[KEPT];
	uint64_t clock;
	struct MHD_Response *page;
	const struct cmd_symbols *symbols;
};

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static void add_headers(struct MHD_Response *r, const char *type)
{
	static const char *const headers[][2] = {
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Content-Security-Policy", "frame-ancestors 'none'" },
	};

	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type); /* without memory, a header less */
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		(void)MHD_add_response_header(r, headers[i][0], headers[i][1]);
}

/* Takes the buffer's memory. NULL: no memory. */
static struct MHD_Response *response_of(struct buf *b, const char *type)
{
	size_t len;
	char *data = buf_take(b, &len);
	struct MHD_Response *r = data ? MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE) : NULL;

	if (!r)
		free(data);
	else
		add_headers(r, type);
	return r;
}

static enum MHD_Result send_and_drop(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result rc = r ? MHD_queue_response(c, status, r) : MHD_NO; /* no memory: the connection is closed */

	if (r)
		MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *sentence)
{
	struct buf b = { 0 };

	buf_printf(&b, "%s\n", sentence);
	return send_and_drop(c, status, response_of(&b, "text/plain; charset=utf-8"));
}

static enum MHD_Result send_list(struct serve *s, struct MHD_Connection *c)
{
	struct serve_list list;
	struct err err = { 0 };
	struct buf b = { 0 };
	struct json j;

	if (serve_list_read(s->directory, &list, &err) < 0)
		return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, err.text);
	json_init(&j, &b);
	json_object_begin(&j);
	json_key(&j, "files");
	json_array_begin(&j);
	for (size_t i = 0; i < list.count; i++) {
		json_object_begin(&j);
		json_key_string(&j, "name", list.items[i].name);
		json_key_bool(&j, "live", list.items[i].live);
		json_key_u64(&j, "version", list.items[i].version);
		json_key_u64(&j, "bytes", list.items[i].bytes);
		json_key_u64(&j, "modified_ms", list.items[i].modified_ns / 1000000);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_key_u64(&j, "skipped", list.skipped);
	json_object_end(&j);
	serve_list_done(&list);
	return send_and_drop(c, MHD_HTTP_OK, response_of(&b, "application/json"));
}

/* ---- recordings --------------------------------------------------------------------------------------------------- */

static struct kept *find_kept(struct serve *s, const struct serve_file *f)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (s->kept[i].name && strcmp(s->kept[i].name, f->name) == 0 && s->kept[i].version == f->version)
			return &s->kept[i];
	return NULL;
}

static void forget(struct kept *k)
{
	free(k->name);
	if (k->response)
		MHD_destroy_response(k->response); /* whoever reads it still holds it */
	*k = (struct kept){ 0 };
}

/* In the place of an older answer of the same file, else of the one that was asked for longest ago. */
static struct kept *place_for(struct serve *s, const char *name)
{
	struct kept *oldest = &s->kept[0];

	for (unsigned i = 0; i < KEPT; i++) {
		if (s->kept[i].name && strcmp(s->kept[i].name, name) == 0)
			return &s->kept[i];
		if (s->kept[i].used < oldest->used)
			oldest = &s->kept[i];
	}
	return oldest;
}

static int make(struct serve *s, const struct serve_file *f, struct buf *out, struct err *err)
{
	struct cmd_input in = { .how = s->symbols };
	int fd = serve_list_open(s->directory, f), rc;

	if (fd < 0)
		return err_set(err, fd, "%s: cannot open: %s", f->name, strerror(-fd));
	rc = cmd_load_fd(fd, f->name, &in, err);
	(void)close(fd); /* read only: nothing can be lost */
	if (rc == 0)
		rc = html_data(f->name, in.model, in.symbols, out, err);
	cmd_input_done(&in);
	return rc;
}

static struct kept *keep(struct serve *s, const struct serve_file *f, struct err *err)
{
	struct kept *k = find_kept(s, f);
	struct kept fresh = { .version = f->version };
	struct buf b = { 0 };

	if (k)
		return k;
	if (make(s, f, &b, err) < 0) {
		buf_done(&b);
		return NULL;
	}
	fresh.name = strdup(f->name);
	fresh.response = response_of(&b, "application/json");
	if (!fresh.name || !fresh.response) {
		forget(&fresh);
		(void)err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	k = place_for(s, f->name);
	forget(k);
	*k = fresh;
	return k;
}

static enum MHD_Result send_recording(struct serve *s, struct MHD_Connection *c)
{
	const char *name = NULL;
	size_t bytes = 0;
	struct serve_list list;
	struct err err = { 0 };
	const struct serve_file *f;
	struct kept *k;
	enum MHD_Result rc;

	if (MHD_lookup_connection_value_n(c, MHD_GET_ARGUMENT_KIND, "name", 4, &name, &bytes) == MHD_NO || !name ||
	    strlen(name) != bytes)
		return refuse(c, MHD_HTTP_BAD_REQUEST, "A recording has a name: /recording?name=NAME");
	if (serve_list_read(s->directory, &list, &err) < 0)
		return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, err.text);
	f = serve_list_find(&list, name);
	k = f ? keep(s, f, &err) : NULL;
	if (k) {
		k->used = ++s->clock;
		rc = MHD_queue_response(c, MHD_HTTP_OK, k->response);
	} else if (f) {
		rc = refuse(c, MHD_HTTP_UNPROCESSABLE_CONTENT, err.text);
	} else {
		rc = refuse(c, MHD_HTTP_NOT_FOUND, "There is no such profile in the directory.");
	}
	serve_list_done(&list);
	return rc;
}

/* ---- the server --------------------------------------------------------------------------------------------------- */

static enum MHD_Result answer(void *context, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *body, size_t *body_bytes, void **state)
{
	static int seen; /* its address marks a request whose headers came before */
	struct serve *s = context;

	(void)version;
	(void)body;
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*body_bytes) { /* what is sent with a request is passed over */
		*body_bytes = 0;
		return MHD_YES;
	}
	if (!serve_peer_host_fits(MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST), s->port))
		return refuse(
		        c, MHD_HTTP_FORBIDDEN,
		        "This server answers to the names 127.0.0.1 and localhost with its port, and to no other.");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "Nothing can be changed here: GET and HEAD only.");
	if (strcmp(url, "/") == 0)
		return MHD_queue_response(c, MHD_HTTP_OK, s->page);
	if (strcmp(url, "/list") == 0)
		return send_list(s, c);
	if (strcmp(url, "/recording") == 0)
		return send_recording(s, c);
	return refuse(c, MHD_HTTP_NOT_FOUND, "There is nothing of that name here.");
}

static enum MHD_Result accept_peer(void *context, const struct sockaddr *address, socklen_t bytes)
{
	struct serve *s = context;

	(void)bytes;
	return s->any_user || serve_peer_is_ours(address, s->port) ? MHD_YES : MHD_NO;
}

static int listen_on_loopback(uint16_t port, uint16_t *ret_port, struct err *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons(port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, rc;
	socklen_t len = sizeof(at);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, CONNECTIONS) == 0 &&
	    getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
		*ret_port = ntohs(at.sin_port);
		return fd;
	}
	rc = errno == EINVAL ? -EIO : -errno;
	if (fd >= 0)
		(void)close(fd);
	return err_set(err, rc, "cannot listen on 127.0.0.1:%u: %s%s", port, strerror(-rc),
	               rc == -EADDRINUSE ? " (--port 0 takes one that is free)" : "");
}

static int make_page(struct serve *s)
{
	struct html_options look = { .title = "perfprobe", .live = true };
	struct buf none = { 0 }, b = { 0 };

	html_page(&look, &none, &b);
	s->page = response_of(&b, "text/html; charset=utf-8");
	return s->page ? 0 : -ENOMEM;
}

int serve_start(const struct serve_options *options, struct serve **ret_serve, struct err *err)
{
	struct serve *s = calloc(1, sizeof(*s));
	int fd;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->any_user = options->any_user;
	s->symbols = options->symbols;
	s->directory = serve_open_directory(options->directory, err);
	if (s->directory < 0) {
		fd = s->directory;
		free(s);
		return fd;
	}
	fd = options->any_user || serve_peer_known() ? listen_on_loopback(options->port, &s->port, err)
	                                             : err_set(err, -ENOTSUP,
	                                                       "/proc/net/tcp cannot be read, so nobody can tell which "
	                                                       "user connects; --any-user answers all");
	if (fd >= 0 && make_page(s) < 0) {
		(void)close(fd);
		fd = err_set(err, -ENOMEM, "out of memory");
	}
	if (fd >= 0) {
		s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, s->port, accept_peer, s,
		                             answer, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		                             (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		                             (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		                             MHD_OPTION_END);
		if (!s->daemon) {
			(void)close(fd);
			fd = err_set(err, -EIO, "the server cannot be started");
		}
	}
	if (fd < 0) {
		serve_stop(s);
		return fd;
	}
	*ret_serve = s;
	return 0;
}

uint16_t serve_port(const struct serve *s)
{
	return s->port;
}

void serve_stop(struct serve *s)
{
	if (s->daemon)
		MHD_stop_daemon(s->daemon); /* closes what it listened on */
	for (unsigned i = 0; i < KEPT; i++)
		forget(&s->kept[i]);
	if (s->page)
		MHD_destroy_response(s->page);
	(void)close(s->directory);
	free(s);
}

/*
 * sample_server.c - an HTTP/1.1 server with known faults, for the demo and for tests.
 *
 * Usage      sample_server [--port N] [--seconds N]      N = 0 picks a free port; "listening on 127.0.0.1:PORT" on stdout.
 *            Loopback only. Ends by itself after --seconds (default 600), and by SIGTERM or SIGINT, with exit status 0.
 * Routes     /                 plain and fast
 *            /cpu?ms=N         burns N ms of its thread's CPU time (default 5): cpu_handler -> cpu_outer -> cpu_middle -> cpu_inner
 *            /slow?ms=N        1 request in 20 takes a lock and keeps it for N ms (default 200); the others need the lock for a moment
 *            /leak?bytes=N&every=M   1 request in M (default 1: each) loses N bytes (default 1024): leak_request -> leak_session_record
 *            /cache?bytes=N    keeps N bytes (default 1024) in a table for ever, reachable: cache_request -> cache_insert
 *            /work             some of everything, and allocations that are freed: work_request
 *            /bytes?n=N        a body of N bytes        /chunked?n=N   the same, in chunks        /status?code=N
 *            /stats            exact counts as JSON; not counted itself
 * Threads    one per connection, at most MAX_CONNECTIONS: a request that waits delays only its own client.
 * Names      functions that a profile should show are not inlined, cloned or turned into jumps.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__
#define VISIBLE __attribute__((noinline))
#else
#define VISIBLE __attribute__((noinline, noclone, noipa))
#endif
/* The compiler must believe that memory behind p is used. */
#define KEEP(p) __asm__ volatile("" : : "r"(p) : "memory")

enum { MAX_CONNECTIONS = 1024, REQUEST_MAX = 16384, CACHE_SLOTS = 4096, BODY_PIECE = 16384, SLOW_EVERY = 20 };

static _Atomic uint64_t requests, leaked_bytes, leaked_blocks, cache_bytes, cache_entries, slow_holds, connections_now;

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed); /* a statistic, it orders nothing */
}

static uint64_t value(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- CPU: nested functions with a known split of the time: inner does all of the spinning ---- */

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static VISIBLE uint64_t cpu_inner(uint64_t seed)
{
	for (int i = 0; i < 20000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		KEEP(&seed);
	}
	return seed;
}

static VISIBLE uint64_t cpu_middle(uint64_t seed)
{
	uint64_t sum = 0;

	for (int i = 0; i < 4; i++)
		sum += cpu_inner(seed + (uint64_t)i);
	return sum;
}

static VISIBLE uint64_t cpu_outer(uint64_t ms)
{
	uint64_t end = thread_cpu_ns() + ms * 1000000u, sum = 0;

	while (thread_cpu_ns() < end)
		sum += cpu_middle(sum);
	return sum;
}

static VISIBLE uint64_t cpu_handler(uint64_t ms)
{
	uint64_t sum = cpu_outer(ms);

	KEEP(&sum);
	return sum;
}

/* ---- waiting for a lock that another thread holds ---- */

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t slow_turn;

static VISIBLE void slow_hold_lock(uint64_t ms)
{
	struct timespec pause = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	pthread_mutex_lock(&slow_lock);
	(void)nanosleep(&pause, NULL); /* a signal may cut it short: no harm */
	pthread_mutex_unlock(&slow_lock);
}

static VISIBLE void slow_wait_for_lock(void)
{
	pthread_mutex_lock(&slow_lock);
	KEEP(&slow_lock);
	pthread_mutex_unlock(&slow_lock);
}

static VISIBLE void slow_request(uint64_t ms)
{
	if (atomic_fetch_add_explicit(&slow_turn, 1, memory_order_relaxed) % SLOW_EVERY == SLOW_EVERY - 1) {
		count(&slow_holds, 1);
		slow_hold_lock(ms);
	} else {
		slow_wait_for_lock();
	}
}

/* ---- memory that is lost, kept, and given back ---- */

struct session_record {
	uint64_t id;
	unsigned char data[];
};

static VISIBLE void leak_session_record(uint64_t bytes)
{
	struct session_record *record = malloc(bytes);

	if (!record)
		return;
	memset(record, 0x5a, bytes);
	KEEP(record);
	count(&leaked_bytes, bytes);
	count(&leaked_blocks, 1);
	/* Nothing refers to the record from here on. */
}

static VISIBLE void leak_request(uint64_t bytes)
{
	leak_session_record(bytes < sizeof(struct session_record) ? sizeof(struct session_record) : bytes);
	KEEP(&bytes);
}

static void leak_sometimes(uint64_t bytes, uint64_t every)
{
	static _Atomic uint64_t turn;

	if (every <= 1 || atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % every == every - 1)
		leak_request(bytes);
}

struct cache_entry {
	struct cache_entry *next;
	unsigned char data[];
};
static struct cache_entry *cache_slots[CACHE_SLOTS];
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER; /* guards cache_slots */

static VISIBLE void cache_insert(uint64_t key, uint64_t bytes)
{
	struct cache_entry *entry = malloc(bytes);

	if (!entry)
		return;
	memset(entry, 0x5a, bytes); /* touched: zeros would make it a calloc of pages that nobody has */
	pthread_mutex_lock(&cache_lock);
	entry->next = cache_slots[key % CACHE_SLOTS];
	cache_slots[key % CACHE_SLOTS] = entry;
	pthread_mutex_unlock(&cache_lock);
	count(&cache_bytes, bytes);
	count(&cache_entries, 1);
}

static VISIBLE void cache_request(uint64_t bytes)
{
	cache_insert(value(&cache_entries) * 2654435761u,
	             bytes < sizeof(struct cache_entry) ? sizeof(struct cache_entry) : bytes);
	KEEP(&bytes);
}

static VISIBLE char *work_format(uint64_t id)
{
	char *text = malloc(256);

	if (text)
		(void)snprintf(text, 256, "{\"id\":%llu,\"name\":\"item-%llu\"}", (unsigned long long)id,
		               (unsigned long long)id);
	return text;
}

static VISIBLE void work_churn(void)
{
	char *items[50];

	for (uint64_t i = 0; i < 50; i++)
		items[i] = work_format(i);
	KEEP(items);
	for (uint64_t i = 0; i < 50; i++)
		free(items[i]);
}

static VISIBLE void work_request(void)
{
	uint64_t turn = value(&requests);

	work_churn();
	(void)cpu_middle(turn);
	if (turn % 10 == 0)
		cache_request(512);
	if (turn % 100 == 0)
		leak_request(256);
}

/* ---- HTTP ---- */

struct request {
	char method[16], path[128], query[256];
	bool close;
};

struct reply {
	int status;
	const char *type;
	char text[512];  /* the body, unless `filler` */
	uint64_t filler; /* a body of that many bytes */
	bool chunked;
};

static uint64_t query_number(const struct request *r, const char *name, uint64_t otherwise)
{
	size_t len = strlen(name);

	for (const char *at = r->query; at && *at; at = strchr(at, '&')) {
		at += *at == '&';
		if (strncmp(at, name, len) == 0 && at[len] == '=')
			return strtoull(at + len + 1, NULL, 10);
	}
	return otherwise;
}

static void stats_reply(struct reply *reply)
{
	reply->type = "application/json";
	(void)snprintf(reply->text, sizeof(reply->text),
	               "{\"requests\":%llu,\"leaked_bytes\":%llu,\"leaked_blocks\":%llu,\"cache_bytes\":%llu,\"cache_"
	               "entries\":%llu,"
	               "\"slow_holds\":%llu,\"connections\":%llu}\n",
	               (unsigned long long)value(&requests), (unsigned long long)value(&leaked_bytes),
	               (unsigned long long)value(&leaked_blocks), (unsigned long long)value(&cache_bytes),
	               (unsigned long long)value(&cache_entries), (unsigned long long)value(&slow_holds),
	               (unsigned long long)value(&connections_now));
}

static bool is(const struct request *r, const char *path)
{
	return strcmp(r->path, path) == 0;
}

static VISIBLE void handle_request(const struct request *r, struct reply *reply)
{
	if (is(r, "/stats")) {
		stats_reply(reply);
		return;
	}
	count(&requests, 1);
	if (is(r, "/cpu"))
		(void)cpu_handler(query_number(r, "ms", 5));
	else if (is(r, "/slow"))
		slow_request(query_number(r, "ms", 200));
	else if (is(r, "/leak"))
		leak_sometimes(query_number(r, "bytes", 1024), query_number(r, "every", 1));
	else if (is(r, "/cache"))
		cache_request(query_number(r, "bytes", 1024));
	else if (is(r, "/work"))
		work_request();
	else if (is(r, "/status"))
		reply->status = (int)query_number(r, "code", 200);
	else if (is(r, "/bytes") || is(r, "/chunked"))
		reply->filler = query_number(r, "n", 1024);
	else if (!is(r, "/"))
		reply->status = 404;
	reply->chunked = is(r, "/chunked");
	if (reply->status < 200 || reply->status > 999)
		reply->status = 400;
}

static bool send_all(int fd, const char *data, size_t bytes, int flags)
{
	while (bytes > 0) {
		ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool send_filler(int fd, const struct reply *reply)
{
	static const char zeros[BODY_PIECE];

	for (uint64_t left = reply->filler; left > 0;) {
		size_t piece = left < BODY_PIECE ? (size_t)left : BODY_PIECE;
		char size[32];
		int n = snprintf(size, sizeof(size), "%zx\r\n", piece);

		if (reply->chunked && !send_all(fd, size, (size_t)n, MSG_MORE))
			return false;
		if (!send_all(fd, zeros, piece, reply->chunked ? MSG_MORE : 0))
			return false;
		if (reply->chunked && !send_all(fd, "\r\n", 2, 0))
			return false;
		left -= piece;
	}
	return !reply->chunked || send_all(fd, "0\r\n\r\n", 5, 0);
}

static bool send_reply(int fd, const struct request *r, const struct reply *reply)
{
	bool bodyless = strcmp(r->method, "HEAD") == 0 || reply->status == 204 || reply->status == 304;
	size_t text = strlen(reply->text);
	char head[1024], framing[64];
	int n;

	if (reply->chunked)
		(void)snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked");
	else
		(void)snprintf(framing, sizeof(framing), "Content-Length: %llu",
		               (unsigned long long)(reply->filler ? reply->filler : text));
	n = snprintf(head, sizeof(head), "HTTP/1.1 %d Status\r\nContent-Type: %s\r\n%s\r\nConnection: %s\r\n\r\n%s",
	             reply->status, reply->type, reply->status == 204 ? "X-No-Body: 1" : framing,
	             r->close ? "close" : "keep-alive", bodyless || reply->filler || reply->chunked ? "" : reply->text);
	if (!send_all(fd, head, (size_t)n, !bodyless && reply->filler ? MSG_MORE : 0))
		return false;
	return bodyless || !(reply->filler || reply->chunked) || send_filler(fd, reply);
}

/* The value of a header in head[], or NULL. */
static const char *find_header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
			return line + 3 + len + strspn(line + 3 + len, " ");
	return NULL;
}

static bool parse_head(const char *head, struct request *r)
{
	char target[sizeof(r->path) + sizeof(r->query)];
	const char *connection;
	char *question;
	int minor;

	if (sscanf(head, "%15[A-Z] %383s HTTP/1.%d", r->method, target, &minor) != 3)
		return false;
	question = strchr(target, '?');
	if (question)
		*question++ = '\0';
	if (strlen(target) >= sizeof(r->path) || (question && strlen(question) >= sizeof(r->query)))
		return false; /* no route of ours is so long */
	memcpy(r->path, target, strlen(target) + 1);
	if (question)
		memcpy(r->query, question, strlen(question) + 1);
	connection = find_header(head, "Connection");
	r->close = (connection && strncasecmp(connection, "close", 5) == 0) ||
	           (minor == 0 && !(connection && strncasecmp(connection, "keep-alive", 10) == 0));
	return true;
}

struct input {
	char data[REQUEST_MAX + 1];
	size_t have;
};

static bool receive_more(int fd, struct input *in)
{
	ssize_t n;

	do
		n = recv(fd, in->data + in->have, REQUEST_MAX - in->have, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	in->have += (size_t)n;
	in->data[in->have] = '\0';
	return true;
}

/* Drops `bytes` of a request's body, received or still to come. */
static bool skip_body(int fd, struct input *in, uint64_t bytes)
{
	while (bytes > 0) {
		size_t n = in->have < bytes ? in->have : (size_t)bytes;

		memmove(in->data, in->data + n, in->have - n);
		in->have -= n;
		in->data[in->have] = '\0';
		bytes -= n;
		if (bytes > 0 && !receive_more(fd, in))
			return false;
	}
	return true;
}

static bool serve_one(int fd, struct input *in)
{
	struct request r = { 0 };
	struct reply reply = { .status = 200, .type = "text/plain", .text = "ok\n" };
	const char *length;
	uint64_t body;
	char *end;
	size_t head;

	while (!(end = strstr(in->data, "\r\n\r\n")))
		if (in->have == REQUEST_MAX || !receive_more(fd, in))
			return false;
	head = (size_t)(end - in->data) + 4;
	end[2] = '\0';
	if (!parse_head(in->data, &r))
		return false;
	length = find_header(in->data, "Content-Length");
	body = length ? strtoull(length, NULL, 10) : 0;
	if (!skip_body(fd, in, head) || !skip_body(fd, in, body))
		return false;
	handle_request(&r, &reply);
	return send_reply(fd, &r, &reply) && !r.close;
}

static void *serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct input *in = malloc(sizeof(*in));

	if (in) {
		in->have = 0;
		in->data[0] = '\0';
		while (serve_one(fd, in))
			;
	}
	free(in);
	(void)close(fd);
	count(&connections_now, UINT64_MAX); /* minus one */
	return NULL;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons(port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, MAX_CONNECTIONS) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
		fprintf(stderr, "sample_server: cannot listen on 127.0.0.1:%u: %s\n", (unsigned)port, strerror(errno));
		return -1;
	}
	printf("listening on 127.0.0.1:%u\n", (unsigned)ntohs(at.sin_port));
	(void)fflush(stdout); /* whoever reads it is waiting; if nobody does, the server serves all the same */
	return fd;
}

static void *accept_loop(void *arg)
{
	int listener = (int)(intptr_t)arg;
	pthread_attr_t detached;

	(void)pthread_attr_init(&detached);
	(void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		const int on = 1;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				usleep(1000);
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		count(&connections_now, 1);
		if (value(&connections_now) > MAX_CONNECTIONS ||
		    pthread_create(&thread, &detached, serve_connection, (void *)(intptr_t)fd) != 0) {
			count(&connections_now, UINT64_MAX);
			(void)close(fd);
		}
	}
	return NULL;
}

static bool parse_options(int argc, char **argv, uint64_t *ret_port, uint64_t *ret_seconds)
{
	for (int i = 1; i < argc; i += 2) {
		uint64_t *into = strcmp(argv[i], "--port") == 0      ? ret_port
		                 : strcmp(argv[i], "--seconds") == 0 ? ret_seconds
		                                                     : NULL;
		char *end;

		if (!into || i + 1 == argc)
			return false;
		*into = strtoull(argv[i + 1], &end, 10);
		if (*end || end == argv[i + 1])
			return false;
	}
	return *ret_port < 65536 && *ret_seconds > 0 && *ret_seconds < 1000000;
}

/* Returns when a signal of `ends` has come or the time is up; signals with a handler of somebody else's do not prolong it. */
static void wait_for_end(const sigset_t *ends, uint64_t seconds)
{
	struct timespec now, left = { 0 };
	time_t end;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + (time_t)seconds;
	for (; now.tv_sec < end; (void)clock_gettime(CLOCK_MONOTONIC, &now)) {
		left.tv_sec = end - now.tv_sec;
		if (sigtimedwait(ends, NULL, &left) >= 0 || errno != EINTR)
			return;
	}
}

int main(int argc, char **argv)
{
	uint64_t port = 8080, seconds = 600;
	sigset_t ends;
	pthread_t thread;
	int listener;

	if (!parse_options(argc, argv, &port, &seconds)) {
		fprintf(stderr, "usage: sample_server [--port N] [--seconds N]\n");
		return 2;
	}
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL); /* all threads inherit it: only main takes them, below */
	listener = listen_on((uint16_t)port);
	if (listener < 0 || pthread_create(&thread, NULL, accept_loop, (void *)(intptr_t)listener) != 0)
		return 1;
	wait_for_end(&ends, seconds);
	return 0;
}

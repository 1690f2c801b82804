/*
 * crew_line.c - connections of virtual users.
 *
 * An idle line stands in exactly one list: its member's, the pool of its target, or the spare ones. A line whose connection was closed
 * by the server while it was idle stays where it is, and connects anew when it is used.
 */
#include "crew_line.h"

#include <errno.h>
#include <stdlib.h>

#include "body.h"

int lines_init(struct lines *l, size_t targets, int epoll_fd)
{
	*l = (struct lines){ .env = { .epoll_fd = epoll_fd }, .scan_ns = UINT64_MAX, .target_count = targets };
	l->env.buffer = malloc(CONN_BUFFER_BYTES);
	l->targets = calloc(targets, sizeof(struct conn_target));
	l->pool = calloc(targets, sizeof(struct line *));
	if (l->env.buffer && l->targets && l->pool)
		return 0;
	lines_done(l);
	return -ENOMEM;
}

void lines_done(struct lines *l)
{
	for (uint64_t i = 0; i < l->count; i++) {
		conn_close(&l->all[i]->conn);
		buf_done(&l->all[i]->kept);
		buf_done(&l->all[i]->body);
		free(l->all[i]);
	}
	for (size_t i = 0; l->targets && i < l->target_count; i++)
		conn_target_done(&l->targets[i]);
	free(l->all);
	free(l->env.buffer);
	free(l->targets);
	free(l->pool);
	*l = (struct lines){ 0 };
}

static struct line *add_line(struct lines *l)
{
	struct line *line;

	if (l->count == l->room) {
		uint64_t room = l->room ? 2 * l->room : 64;
		struct line **all = realloc(l->all, room * sizeof(struct line *));

		if (!all)
			return NULL;
		l->all = all;
		l->room = room;
	}
	line = calloc(1, sizeof(*line));
	if (!line)
		return NULL;
	conn_init(&line->conn);
	line->slot = (uint32_t)l->count;
	l->all[l->count++] = line;
	return line;
}

static struct line *take(struct line **list, uint32_t target)
{
	for (struct line **at = list; *at; at = &(*at)->next) {
		struct line *line = *at;

		if (line->target == target) {
			*at = line->next;
			return line;
		}
	}
	return NULL;
}

static struct line *find_line(struct lines *l, struct line **own, const struct user_request *r)
{
	struct line *line = NULL;

	if (r->connection == USER_CONNECTION_OWN)
		line = take(own, r->target);
	else if (r->connection == USER_CONNECTION_POOL)
		line = take(&l->pool[r->target], r->target);
	if (line)
		return line;
	line = l->spare;
	if (!line)
		return add_line(l);
	l->spare = line->next;
	return line;
}

struct line *lines_begin(struct lines *l, struct member *member, struct line **own, const struct user_request *request,
                         uint64_t timeout_ns, enum conn_result *ret_result)
{
	struct line *line = find_line(l, own, request);
	size_t bytes = 0;

	if (!line)
		return NULL;
	for (size_t i = 0; i < request->part_count; i++)
		bytes += request->parts[i].iov_len;
	line->request = *request;
	line->member = member;
	line->target = request->target;
	line->is_busy = true;
	line->sent = (struct conn_request){ line->request.parts, request->part_count, bytes, request->is_head };
	buf_clear(&line->kept);
	line->conn.kept = request->keep == USER_KEEP_NOTHING ? NULL : &line->kept;
	line->conn.kept_max =
	        HTTP1_HEAD_MAX + (request->keep == USER_KEEP_BODY ? BODY_FRAMED_MAX(request->keep_max) : 0);
	line->conn.request = &line->sent;
	line->conn.target = &l->targets[request->target];
	l->busy++;
	*ret_result = conn_start(&line->conn, &l->env);
	line->conn.deadline_ns = line->conn.began_ns + (request->timeout_ns ? request->timeout_ns : timeout_ns);
	if (line->conn.deadline_ns < l->scan_ns)
		l->scan_ns = line->conn.deadline_ns;
	return line;
}

static void put(struct line **list, struct line *line)
{
	line->next = *list;
	*list = line;
}

void lines_release(struct lines *l, struct line *line, struct line **own)
{
	line->is_busy = false;
	line->conn.deadline_ns = 0;
	l->busy--;
	if (line->request.connection == USER_CONNECTION_OWN) {
		put(own, line);
	} else if (line->request.connection == USER_CONNECTION_POOL) {
		put(&l->pool[line->target], line);
	} else {
		conn_close(&line->conn);
		line->conn.was_open = false;
		put(&l->spare, line);
	}
}

void lines_forget(struct lines *l, struct line **own)
{
	while (*own) {
		struct line *line = *own;

		*own = line->next;
		conn_close(&line->conn);
		line->conn.was_open = false;
		put(&l->spare, line);
	}
}

void lines_abandon(struct lines *l, struct line *line)
{
	conn_close(&line->conn);
	line->conn.was_open = line->is_busy = false;
	line->conn.deadline_ns = 0;
	l->busy--;
	put(&l->spare, line);
}

static uint8_t failure_of(const struct conn *c, enum conn_result result)
{
	return result == CONN_RESPONSE ? SAMPLE_ANSWERED : c->failure;
}

static uint16_t status_of(const struct conn *c, enum conn_result result)
{
	return result == CONN_RESPONSE ? c->http.status : 0;
}

/* When the connection was there, without TLS. */
static uint64_t connected_ns(const struct conn *c)
{
	return c->tls_ns ? c->tls_ns : c->send_ns ? c->send_ns : c->end_ns;
}

void line_response(struct line *line, enum conn_result result, struct user_response *ret_response)
{
	const struct conn *c = &line->conn;
	struct user_response r = {
		.cookie = line->request.cookie,
		.status = status_of(c, result),
		.failure = failure_of(c, result),
		.reused = !c->is_new,
		.connect_ns = c->is_new ? sample_span(c->began_ns, connected_ns(c)) : 0,
		.tls_ns = sample_span(c->tls_ns, c->send_ns ? c->send_ns : c->end_ns),
		.send_ns = sample_span(c->send_ns, c->sent_ns),
		.wait_ns = sample_span(c->sent_ns, c->first_ns),
		.receive_ns = sample_span(c->first_ns, c->end_ns),
		.duration_ns = sample_span(c->send_ns, c->end_ns),
		.end_ns = c->end_ns,
	};

	if (result == CONN_RESPONSE) {
		r.wire_body_bytes = c->http.body_bytes;
		if (line->request.keep != USER_KEEP_NOTHING && !line->kept.failed)
			body_split(&line->kept, &line->body,
			           line->request.keep == USER_KEEP_BODY ? line->request.keep_max : 0, &r);
	}
	*ret_response = r;
}

static bool is_expected(const struct user_request *r, uint16_t status)
{
	for (uint32_t i = 0; i < r->expected_count; i++)
		if (status >= r->expected[i][0] && status <= r->expected[i][1])
			return true;
	return r->expected_count == 0 && status >= 200 && status <= 399;
}

void line_sample(const struct line *line, enum conn_result result, uint64_t intended_ns,
                 struct sample_request *ret_sample)
{
	const struct conn *c = &line->conn;

	*ret_sample = (struct sample_request){
		.intended_ns = intended_ns,
		.began_ns = c->began_ns,
		.connect_ns = c->is_new ? c->began_ns : 0,
		.tls_ns = c->tls_ns,
		.is_tls = c->target->tls != NULL,
		.send_ns = c->send_ns,
		.sent_ns = c->sent_ns,
		.first_ns = c->first_ns,
		.end_ns = c->end_ns,
		.bytes_in = c->bytes_in,
		.bytes_out = c->sent,
		.endpoint = line->request.endpoint,
		.tags = line->request.tags,
		.status = status_of(c, result),
		.failure = failure_of(c, result),
		.problem =
		        result == CONN_FAILED && c->failure == FAILURE_MALFORMED ? c->http.problem : HTTP1_PROBLEM_NONE,
		.expected = is_expected(&line->request, status_of(c, result)),
		.reused = !c->is_new,
	};
}

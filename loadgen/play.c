#include "play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "atomic.h"
#include "cookies.h"

enum { NS_IN_MS = 1000000 };

/* One request of the batch that is under way. */
struct slot {
	struct buf head;
	struct buf target; /* after a redirect */
	uint32_t origin;
	unsigned redirects;
	bool to_send, without_body, is_get;
};

struct user {
	const struct play_source *source;
	struct play_common *common;
	struct vu *vu;
	struct cookies cookies;
	struct vu_action action;
	struct slot *slots; /* VU_BATCH_MAX */
	size_t waiting;     /* of the batch: not answered yet */
	size_t next;        /* the first that may be to send */
	uint64_t now_ns;
};

static int init(void *memory, const void *plan, uint32_t number, uint64_t seed)
{
	struct user *u = memory;

	(void)seed; /* vu_common has it */
	u->source = plan;
	u->common = u->source->common;
	u->vu = vu_new(&u->common->vus, u->source->scenario, number);
	u->slots = calloc(VU_BATCH_MAX, sizeof(*u->slots));
	return u->vu && u->slots ? 0 : -ENOMEM;
}

static void done(void *memory)
{
	struct user *u = memory;

	for (size_t i = 0; u->slots && i < VU_BATCH_MAX; i++) {
		buf_done(&u->slots[i].head);
		buf_done(&u->slots[i].target);
	}
	free(u->slots);
	cookies_done(&u->cookies);
	vu_free(u->vu);
}

static void begin(void *memory, const struct user_env *env)
{
	struct user *u = memory;

	if (!u->source->scenario->keeps_cookies)
		cookies_clear(&u->cookies);
	u->waiting = 0;
	vu_begin(u->vu, env->iteration + 1);
}

/* ---- requests ---- */

static bool has_header(const struct testplan_request *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return true;
	return false;
}

static const char *target_of(const struct user *u, size_t i)
{
	return u->slots[i].redirects ? u->slots[i].target.data : u->action.requests[i].target.data;
}

static void write_head(struct user *u, size_t i)
{
	const struct vu_request *r = &u->action.requests[i];
	const struct url *origin = &u->common->plan->origins[u->slots[i].origin];
	struct slot *s = &u->slots[i];
	struct buf *b = &s->head;
	size_t mark;

	buf_clear(b);
	buf_add_str(b, s->is_get ? "GET" : r->request->method);
	buf_add_char(b, ' ');
	buf_add_str(b, target_of(u, i));
	buf_add_str(b, " HTTP/1.1\r\n");
	if (!has_header(r->request, "Host"))
		buf_printf(b, "Host: %s\r\n", origin->authority);
	if (!has_header(r->request, "User-Agent"))
		buf_add_str(b, "User-Agent: probe-load/" PERFPROBE_VERSION "\r\n");
	buf_add(b, r->headers.data, r->headers.len);
	mark = b->len;
	buf_add_str(b, "Cookie: ");
	if (u->common->plan->cookies)
		cookies_put(&u->cookies, origin->host, target_of(u, i), origin->tls, b);
	if (b->len == mark + 8)
		b->len = mark; /* there are none */
	else
		buf_add_str(b, "\r\n");
	if (!s->without_body && r->body.data && !has_header(r->request, "Content-Length"))
		buf_printf(b, "Content-Length: %zu\r\n", r->body.len);
	else if (!r->body.data && !s->is_get &&
	         (strcmp(r->request->method, "POST") == 0 || strcmp(r->request->method, "PUT") == 0))
		buf_add_str(b, "Content-Length: 0\r\n");
	buf_add_str(b, "\r\n");
}

/* Whole URLs: the origin is one of the plan's, or the request cannot be made. */
static bool find_origin(struct user *u, size_t i, const char *text)
{
	const struct testplan *p = u->common->plan;
	struct slot *s = &u->slots[i];
	struct url url;
	bool found = false;

	if (url_parse(text, &url, NULL) < 0)
		return false;
	for (size_t o = 0; o < p->origin_count && !found; o++) {
		found = p->origins[o].port == url.port && p->origins[o].tls == url.tls &&
		        strcmp(p->origins[o].host, url.host) == 0;
		if (found)
			s->origin = (uint32_t)o;
	}
	if (found) {
		buf_clear(&s->target);
		buf_add(&s->target, url.target, strlen(url.target) + 1);
		found = !s->target.failed;
	}
	url_done(&url);
	return found;
}

static void fail(struct user *u, size_t i)
{
	struct vu_outcome outcome;

	add_relaxed(&u->common->unknown_origins, 1); /* a statistic: it orders nothing, here and below */
	vu_answered(u->vu, i, &(struct answer){ .head = "", .body = "" }, &outcome);
	u->waiting--;
	u->slots[i].to_send = false;
}

static void take_batch(struct user *u)
{
	u->waiting = u->action.request_count;
	u->next = 0;
	for (size_t i = 0; i < u->action.request_count; i++) {
		struct slot *s = &u->slots[i];

		s->origin = u->action.requests[i].origin;
		s->redirects = 0;
		s->is_get = s->without_body = false;
		s->to_send = true;
		if (s->origin == TESTPLAN_NO_ORIGIN) {
			if (!find_origin(u, i, u->action.requests[i].target.data)) {
				fail(u, i);
				continue;
			}
			s->redirects = 1; /* the target is the slot's own */
		}
		write_head(u, i);
	}
}

static void fill(struct user *u, size_t i, struct user_request *out)
{
	static const uint16_t any[1][2] = { { 100, 999 } };
	const struct vu_request *r = &u->action.requests[i];
	struct slot *s = &u->slots[i];

	*out = (struct user_request){ .target = s->origin,
		                      .endpoint = u->common->endpoints[r->step->id],
		                      .cookie = (uint32_t)i,
		                      .part_count = 1,
		                      .keep = USER_KEEP_NOTHING,
		                      .keep_max = PLAY_BODY_MAX,
		                      .is_head = strcmp(r->request->method, "HEAD") == 0 && !s->is_get,
		                      .timeout_ns = r->request->timeout_ns };
	out->parts[0] = (struct iovec){ s->head.data, s->head.len };
	if (r->body.data && !s->without_body && r->body.len) {
		out->parts[1] = (struct iovec){ (void *)(uintptr_t)r->body.data, r->body.len };
		out->part_count = 2;
	}
	if (r->request->wants_head || u->common->plan->cookies || r->request->follow_redirects)
		out->keep = USER_KEEP_HEAD;
	if (r->request->wants_body)
		out->keep = USER_KEEP_BODY;
	if (r->request->wants_error) {
		out->expected = any;
		out->expected_count = 1;
	}
	s->to_send = false;
}

static enum user_action next(void *memory, uint64_t now_ns, struct user_step *ret_step)
{
	struct user *u = memory;

	u->now_ns = now_ns;
	for (;;) {
		for (; u->waiting && u->next < u->action.request_count; u->next++) {
			if (!u->slots[u->next].to_send)
				continue;
			fill(u, u->next++, &ret_step->request);
			return USER_REQUEST;
		}
		if (u->waiting)
			return USER_WAIT;
		vu_next(u->vu, now_ns, u->common->unix_offset_ms + (int64_t)(now_ns / NS_IN_MS), &u->action);
		switch (u->action.kind) {
		case VU_REQUESTS:
			take_batch(u);
			break;
		case VU_SLEEP:
			ret_step->sleep_ns = u->action.sleep_ns;
			return USER_SLEEP;
		case VU_GROUP_OVER:
			break;
		case VU_ITERATION_OVER:
			if (u->action.failed)
				add_relaxed(&u->common->iterations_failed, 1);
			return USER_ITERATION_OVER;
		case VU_USER_OVER:
			return USER_STOP;
		case VU_RUN_OVER:
			ret_step->reason = "the plan ended the run";
			return USER_ABORT_RUN;
		}
	}
}

/* ---- answers ---- */

/* "/x", "?y", "x" and whole URLs of the plan's origins. */
static bool resolve(struct user *u, size_t i, const char *location, size_t len)
{
	const char *target = target_of(u, i);
	struct buf text = { 0 };
	bool ok;

	if (len >= 4 && strncasecmp(location, "http", 4) == 0 && memmem(location, len, "://", 3)) {
		buf_add(&text, location, len);
	} else {
		const struct url *origin = &u->common->plan->origins[u->slots[i].origin];
		size_t keep = *location == '?' ? strcspn(target, "?#") : strcspn(target, "?#");

		while (*location != '?' && keep > 1 && target[keep - 1] != '/')
			keep--;
		buf_printf(&text, "%s://%s", origin->tls ? "https" : "http", origin->authority);
		if (len >= 2 && location[0] == '/' && location[1] == '/')
			text.len = origin->tls ? 6 : 5;
		else if (*location != '/')
			buf_add(&text, target, keep);
		buf_add(&text, location, len);
	}
	buf_add_char(&text, '\0');
	ok = !text.failed && find_origin(u, i, text.data);
	buf_done(&text);
	return ok;
}

/* True: it is asked again, elsewhere. */
static bool redirect(struct user *u, size_t i, const struct answer *a)
{
	const struct vu_request *r = &u->action.requests[i];
	struct slot *s = &u->slots[i];
	const char *location;
	size_t len;

	if (!r->request->follow_redirects || a->status < 301 || a->status > 308 || a->status == 304 ||
	    a->status == 305 || a->status == 306 || s->redirects > PLAY_REDIRECTS_MAX ||
	    !answer_header(a, "Location", 0, &location, &len) || len == 0 || !resolve(u, i, location, len))
		return false;
	if (a->status < 307 && strcmp(r->request->method, "HEAD") != 0)
		s->is_get = s->without_body = true;
	s->redirects++;
	s->to_send = true;
	write_head(u, i);
	if (u->next > i)
		u->next = i;
	return true;
}

static void count(struct user *u, size_t i, const struct vu_outcome *o, uint16_t status)
{
	const struct vu_request *r = &u->action.requests[i];

	for (size_t c = 0; c < r->request->check_count && c < 64; c++) {
		const struct check *check = &r->request->checks[c];

		add_relaxed(o->check_results[c] ? &u->common->checks_held[check->id]
		                                : &u->common->checks_failed[check->id],
		            1);
	}
	if ((o->failed || o->capture_failed) && status && (status < 400 || r->request->wants_error))
		add_relaxed(&u->common->failed[u->common->endpoints[r->step->id]], 1);
}

static void answered(void *memory, const struct user_response *response)
{
	struct user *u = memory;
	size_t i = response->cookie;
	struct answer a = { .status = response->status,
		            .head = "",
		            .body = "",
		            .duration_ns = response->duration_ns,
		            .target = target_of(u, i) };
	struct vu_outcome outcome;

	if (response->head) { /* captures see the fields alone */
		const char *fields = memchr(response->head, '\n', response->head_bytes);

		a.head = fields ? fields + 1 : "";
		a.head_len = fields ? response->head_bytes - (size_t)(a.head - response->head) : 0;
	}
	if (response->body) {
		a.body = response->body;
		a.body_len = response->body_bytes;
	}
	if (u->common->plan->cookies && a.head_len)
		(void)cookies_take(&u->cookies, u->common->plan->origins[u->slots[i].origin].host, a.target, a.head,
		                   a.head_len);
	if (redirect(u, i, &a))
		return;
	vu_answered(u->vu, i, &a, &outcome);
	count(u, i, &outcome, response->status);
	u->waiting--;
}

const struct user_ops play_ops = { sizeof(struct user), init, begin, next, answered, done };

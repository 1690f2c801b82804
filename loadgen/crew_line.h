/* The connections of a worker's users: which one carries a request, what came of it. A line is a connection with the request that is
 * under way on it. One worker's thread. Lines are kept in lists, and never freed before lines_done(). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "conn.h"
#include "sample.h"
#include "user.h"

struct member;

struct line {
	struct conn conn; /* first: epoll's tag is the connection */
	struct conn_request sent;
	struct user_request request;
	struct buf kept, body;
	struct member *member; /* whose request is under way; or whose idle connection it is; NULL: anybody's */
	struct line *next;     /* in a list of idle lines */
	uint32_t target;
	uint32_t slot; /* in lines.all */
	bool is_busy;
};

struct lines {
	struct conn_env env;
	struct conn_target *targets;
	size_t target_count;
	struct line **all;
	uint64_t count, room, busy;
	struct line **pool; /* by target: idle lines that are anybody's */
	struct line *spare; /* closed, nobody's */
	uint64_t scan_ns;   /* not later than the earliest deadline */
};

/* 0 or -ENOMEM. */
int lines_init(struct lines *l, size_t targets, int epoll_fd) MUST_USE;
void lines_done(struct lines *l);
/* A line for the request, begun at env.now_ns; `own`: the member's idle lines. NULL: out of memory. The outcome of beginning is *ret_result:
 * unless it is CONN_PENDING the line is over at once, and lines_release() is due. */
struct line *lines_begin(struct lines *l, struct member *member, struct line **own, const struct user_request *request,
                         uint64_t timeout_ns, enum conn_result *ret_result);
/* The request is over: the connection goes back to where it may be used again. */
void lines_release(struct lines *l, struct line *line, struct line **own);
/* Closes the idle connections of a member. */
void lines_forget(struct lines *l, struct line **own);
/* Gives up a busy line. */
void lines_abandon(struct lines *l, struct line *line);
/* Fill in what the user and the metrics are told. `ret_response` points into the line. */
void line_response(struct line *line, enum conn_result result, struct user_response *ret_response);
void line_sample(const struct line *line, enum conn_result result, uint64_t intended_ns,
                 struct sample_request *ret_sample);

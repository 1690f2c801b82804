/* Tests of crew.c and what it is made of: users that play a script against a server in a thread of this process, which counts. */
#include "t.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic.h"
#include "crew.h"
#include "failure.h"
#include "net.h"
#include "units.h"

enum { CLIENTS_MAX = 128, STEPS_MAX = 8, THREADS = 2 };

/* ---- the server: one thread; what it answers, the path says ---- */

struct server {
	int listener, end[2];
	pthread_t thread;
	_Atomic uint64_t requests, connections;
	struct net_addresses address;
};

static bool answer(struct server *s, int fd)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	static const char chunked[] =
	        "HTTP/1.1 201 Yes\r\nTransfer-Encoding: chunked\r\nX-Id: 7\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
	char request[4096];
	ssize_t n = recv(fd, request, sizeof(request) - 1, 0);
	const char *text = ok;

	if (n <= 0)
		return false;
	request[n] = '\0';
	(void)add_relaxed(&s->requests, 1);
	if (strncmp(request, "GET /close ", 11) == 0)
		return false;
	if (strncmp(request, "GET /never ", 11) == 0)
		return true;
	if (strncmp(request, "GET /chunked ", 13) == 0)
		text = chunked;
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd fds[CLIENTS_MAX + 2] = { { .fd = s->listener, .events = POLLIN },
		                               { .fd = s->end[0], .events = POLLIN } };
	nfds_t count = 2;

	while (poll(fds, count, 20000) > 0 && !fds[1].revents) {
		for (nfds_t i = count; i-- > 2;) {
			if (fds[i].revents && !answer(s, fds[i].fd)) {
				close(fds[i].fd);
				fds[i] = fds[--count];
			}
		}
		if (fds[0].revents && count < ARRAY_LEN(fds)) {
			fds[count++] = (struct pollfd){ .fd = accept(s->listener, NULL, NULL), .events = POLLIN };
			(void)add_relaxed(&s->connections, 1);
		}
	}
	while (count-- > 2)
		close(fds[count].fd);
	return NULL;
}

static void server_start(struct server *s)
{
	struct sockaddr_in *at = &s->address.items[0].in;
	socklen_t len = sizeof(*at);

	memset(s, 0, sizeof(*s));
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->address.count = 1;
	assert_true(s->listener >= 0 && bind(s->listener, (struct sockaddr *)at, len) == 0);
	assert_true(listen(s->listener, 128) == 0 && getsockname(s->listener, (struct sockaddr *)at, &len) == 0);
	assert_true(pipe(s->end) == 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_end(struct server *s)
{
	assert_int_equal(write(s->end[1], "", 1), 1);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->listener);
	close(s->end[0]);
	close(s->end[1]);
}

/* ---- the user: plays a script of steps in each iteration ---- */

struct step {
	enum user_action action;
	const char *path;
	uint64_t ns; /* of a sleep, or the timeout of a request */
	enum user_keep keep;
	uint32_t keep_max;
	enum user_connection connection;
};

struct script {
	struct step steps[STEPS_MAX];
	_Atomic uint64_t begun, answered, failed, done, bodies, heads, iteration_sum, reused;
};

struct player {
	const struct script *script;
	size_t at, under_way;
	char head[STEPS_MAX][128];
};

static struct script *of(const struct player *p)
{
	return (struct script *)(uintptr_t)p->script;
}

static int init(void *user, const void *plan, uint32_t number, uint64_t seed)
{
	(void)seed;
	((struct player *)user)->script = plan;
	return number > 0 ? 0 : -1;
}

static void begin(void *user, const struct user_env *env)
{
	struct player *p = user;

	p->at = 0;
	p->under_way = 0;
	(void)add_relaxed(&of(p)->begun, 1);
	(void)add_relaxed(&of(p)->iteration_sum, env->iteration);
}

static enum user_action next(void *user, uint64_t now_ns, struct user_step *ret_step)
{
	struct player *p = user;
	const struct step *s = &p->script->steps[p->at];
	char *head = p->head[p->at];

	(void)now_ns;
	if (s->action == USER_WAIT) {
		if (p->under_way)
			return USER_WAIT;
		p->at++;
		return next(user, now_ns, ret_step);
	}
	p->at++;
	if (s->action == USER_SLEEP)
		ret_step->sleep_ns = s->ns;
	if (s->action == USER_ABORT_RUN)
		ret_step->reason = "enough";
	if (s->action != USER_REQUEST)
		return s->action;
	(void)snprintf(head, sizeof(p->head[0]), "GET %s HTTP/1.1\r\n", s->path);
	ret_step->request = (struct user_request){
		.cookie = (uint32_t)p->at,
		.parts = { { head, strlen(head) }, { (char *)(uintptr_t) "Host: x\r\n\r\n", 11 } },
		.part_count = 2,
		.timeout_ns = s->ns,
		.keep = (uint8_t)s->keep,
		.keep_max = s->keep_max,
		.connection = (uint8_t)s->connection,
	};
	p->under_way++;
	return USER_REQUEST;
}

static void answered(void *user, const struct user_response *r)
{
	struct player *p = user;

	p->under_way--;
	(void)add_relaxed(&of(p)->answered, 1);
	if (r->failure != SAMPLE_ANSWERED)
		(void)add_relaxed(&of(p)->failed, 1);
	if (r->reused)
		(void)add_relaxed(&of(p)->reused, 1);
	if (r->body && r->status == 201 && strcmp(r->body, "abcde") == 0 && r->wire_body_bytes == 5 && !r->body_cut)
		(void)add_relaxed(&of(p)->bodies, 1);
	if (r->body && r->status == 200 && strcmp(r->body, "he") == 0 && r->body_cut)
		(void)add_relaxed(&of(p)->bodies, 1);
	if (r->head && memmem(r->head, r->head_bytes, "X-Id: 7\r\n", 9))
		(void)add_relaxed(&of(p)->heads, 1);
}

static void done(void *user)
{
	struct player *p = user;

	(void)add_relaxed(&of(p)->done, 1);
}

static const struct user_ops player = { sizeof(struct player), init, begin, next, answered, done };

/* ---- the sink ---- */

struct counts {
	uint64_t requests, iterations, cut_off, dropped, failures[FAILURE_COUNT], response_ns, lateness_max;
};

static void on_request(void *self, const struct sample_request *s)
{
	struct counts *c = self;

	c->requests++;
	if (s->failure != SAMPLE_ANSWERED)
		c->failures[s->failure]++;
	assert_true(s->began_ns >= s->intended_ns && s->end_ns >= s->began_ns && s->user > 0);
	assert_true(s->failure != SAMPLE_ANSWERED ||
	            (s->send_ns <= s->sent_ns && s->sent_ns <= s->first_ns && s->first_ns <= s->end_ns));
	c->response_ns += sample_response_time(s);
	if (sample_lateness(s) > c->lateness_max)
		c->lateness_max = sample_lateness(s);
}

static void on_iteration(void *self, const struct sample_iteration *s)
{
	struct counts *c = self;

	*(s->cut_off ? &c->cut_off : &c->iterations) += 1;
}

static void on_dropped(void *self, uint32_t scenario, uint64_t count)
{
	(void)scenario;
	((struct counts *)self)->dropped += count;
}

struct outcome {
	struct crew_result result;
	struct counts counts;
	uint64_t server_requests, server_connections;
};

static void add_counts(struct counts *into, const struct counts *from)
{
	into->requests += from->requests;
	into->iterations += from->iterations;
	into->cut_off += from->cut_off;
	into->dropped += from->dropped;
	into->response_ns += from->response_ns;
	for (int i = 0; i < FAILURE_COUNT; i++)
		into->failures[i] += from->failures[i];
}

static void run(struct crew_scenario *scenario, const struct script *script, uint64_t stop_after_ms,
                struct outcome *ret)
{
	struct server server;
	struct counts counts[THREADS] = { 0 };
	struct sample_sink sinks[THREADS];
	struct crew_target target = { .addresses = &server.address };
	struct crew_plan plan = { scenario,         1, &target, 1, THREADS, .timeout_ns = 5 * NS_PER_S, .seed = 1,
		                  .descriptors = 64 };
	struct crew *crew;
	struct err err = { 0 };
	struct pollfd fd;

	memset(ret, 0, sizeof(*ret));
	scenario->source = (struct user_source){ &player, script };
	server_start(&server);
	for (int i = 0; i < THREADS; i++)
		sinks[i] = (struct sample_sink){ &counts[i], on_request, on_iteration, on_dropped };
	assert_int_equal(crew_start(&plan, sinks, &crew, &err), 0);
	fd = (struct pollfd){ .fd = crew_fd(crew), .events = POLLIN };
	if (stop_after_ms) {
		assert_int_equal(poll(&fd, 1, (int)stop_after_ms), 0);
		crew_stop(crew);
	}
	assert_int_equal(poll(&fd, 1, 15000), 1);
	assert_int_equal(crew_finish(crew, &ret->result, &err), 0);
	server_end(&server);
	for (int i = 0; i < THREADS; i++)
		add_counts(&ret->counts, &counts[i]);
	ret->server_requests = load_relaxed(&server.requests);
	ret->server_connections = load_relaxed(&server.connections);
	assert_int_equal(ret->counts.requests, ret->result.requests);
	assert_int_equal(ret->counts.iterations, ret->result.iterations);
	assert_int_equal(ret->counts.dropped, ret->result.dropped);
	assert_int_equal(load_relaxed(&script->begun), ret->result.iterations + ret->result.cut_off);
}

#define OK                                                                        \
	{                                                                         \
		USER_REQUEST, "/ok", 0, USER_KEEP_NOTHING, 0, USER_CONNECTION_OWN \
	}

static const uint64_t minute = 60 * NS_PER_S;

static void per_user_iterations(void **state)
{
	struct script script = {
		.steps = { OK, { .action = USER_WAIT }, OK, { .action = USER_WAIT }, { .action = USER_ITERATION_OVER } }
	};
	struct crew_scenario s = {
		.executor = CREW_PER_VU_ITERATIONS, .users = 5, .iterations = 7, .duration_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.result.iterations, 35);
	assert_int_equal(o.server_requests, 70);
	assert_int_equal(o.counts.requests, 70);
	assert_int_equal(o.server_connections, 5);
	assert_int_equal(load_relaxed(&script.reused), 65);
	assert_int_equal(load_relaxed(&script.done), 5);
	assert_int_equal(load_relaxed(&script.iteration_sum), 5 * 21);
	assert_true(o.result.elapsed_ns < 5 * NS_PER_S && !o.result.aborted && !o.result.stopped);
}

static void shared_iterations(void **state)
{
	struct script script = { .steps = { OK, { .action = USER_WAIT }, { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_SHARED_ITERATIONS, .users = 6, .iterations = 101, .duration_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.result.iterations, 101);
	assert_int_equal(o.server_requests, 101);
	assert_int_equal(load_relaxed(&script.iteration_sum), 100 * 101 / 2);
}

static void constant_users_sleep(void **state)
{
	struct script script = { .steps = { OK,
		                            { .action = USER_WAIT },
		                            { .action = USER_SLEEP, .ns = 100 * NS_PER_MS },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_CONSTANT_VUS, .users = 3, .duration_ns = NS_PER_S / 2, .graceful_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	/* Begun at 0, 100+, .. 400+ ms; less if the machine was slow. */
	assert_true(o.result.iterations <= 15 && o.result.iterations >= 3 && o.result.cut_off == 0);
	assert_true(o.result.elapsed_ns >= NS_PER_S / 2);
}

static void several_at_once(void **state)
{
	struct script script = { .steps = { OK, OK, OK, { .action = USER_WAIT }, { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_PER_VU_ITERATIONS, .users = 2, .iterations = 4, .duration_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.server_requests, 2 * 4 * 3);
	assert_int_equal(o.server_connections, 2 * 3); /* and kept from iteration to iteration */
}

static void connections(void **state)
{
	struct script fresh = {
		.steps = { OK, { .action = USER_WAIT }, OK, { .action = USER_WAIT }, { .action = USER_ITERATION_OVER } }
	};
	struct script single = { .steps = { { .action = USER_REQUEST, "/ok", .connection = USER_CONNECTION_NEW },
		                            { .action = USER_WAIT },
		                            { .action = USER_ITERATION_OVER } } };
	struct script pool = { .steps = { { .action = USER_REQUEST, "/ok", .connection = USER_CONNECTION_POOL },
		                          { .action = USER_WAIT },
		                          { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = { .executor = CREW_PER_VU_ITERATIONS,
		                   .users = 2,
		                   .iterations = 5,
		                   .duration_ns = minute,
		                   .fresh_connections = true };
	struct outcome o;

	(void)state;
	run(&s, &fresh, 0, &o);
	assert_int_equal(o.server_connections, 10);
	assert_int_equal(load_relaxed(&fresh.reused), 10);
	s.fresh_connections = false;
	run(&s, &single, 0, &o);
	assert_int_equal(o.server_connections, 10);
	s.users = 20;
	s.iterations = 3;
	s.ramp_ns = NS_PER_S / 2;
	run(&s, &pool, 0, &o);
	assert_int_equal(o.server_requests, 60);
	assert_true(o.server_connections < 20);
}

static void bodies(void **state)
{
	struct script script = { .steps = { { .action = USER_REQUEST, "/chunked", 0, USER_KEEP_BODY, 100, 0 },
		                            { .action = USER_WAIT },
		                            { .action = USER_REQUEST, "/ok", 0, USER_KEEP_BODY, 2, 0 },
		                            { .action = USER_WAIT },
		                            { .action = USER_REQUEST, "/chunked", 0, USER_KEEP_HEAD, 0, 0 },
		                            { .action = USER_WAIT },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_PER_VU_ITERATIONS, .users = 1, .iterations = 3, .duration_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(load_relaxed(&script.bodies), 6);
	assert_int_equal(load_relaxed(&script.heads), 6);
}

static void failures(void **state)
{
	struct script script = { .steps = { { .action = USER_REQUEST, "/close" },
		                            { .action = USER_WAIT },
		                            { .action = USER_REQUEST, "/never", 50 * NS_PER_MS },
		                            { .action = USER_WAIT },
		                            OK,
		                            { .action = USER_WAIT },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_PER_VU_ITERATIONS, .users = 3, .iterations = 2, .duration_ns = minute
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.counts.failures[FAILURE_CLOSED], 6);
	assert_int_equal(o.counts.failures[FAILURE_TIMEOUT], 6);
	assert_int_equal(load_relaxed(&script.failed), 12);
	assert_int_equal(load_relaxed(&script.answered), 18);
	assert_int_equal(o.server_requests, 18);
}

static void ramping_users(void **state)
{
	static const struct schedule_stage stages[] = { { NS_PER_S, 4 }, { NS_PER_S / 2, 0 } };
	struct script script = { .steps = { OK,
		                            { .action = USER_WAIT },
		                            { .action = USER_SLEEP, .ns = 10 * NS_PER_MS },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = { .executor = CREW_RAMPING_VUS,
		                   .users = 4,
		                   .duration_ns = 3 * NS_PER_S / 2,
		                   .graceful_ns = minute,
		                   .schedule = { .curve = { 0, stages, 2 } } };
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(load_relaxed(&script.done), 4);
	/* User i takes part from (i + 1)/4 s to 1 + (4 - i)/8 s: 0.25 + 0.5 + 0.75 + ... user-seconds: 2.75 in all, 10 ms each. */
	assert_true(o.result.iterations > 20 && o.result.iterations <= 280);
	assert_true(o.result.elapsed_ns > 3 * NS_PER_S / 2 - NS_PER_S / 10 && o.result.cut_off == 0);
}

static void arrivals(void **state)
{
	static const struct schedule_stage stages[] = { { NS_PER_S, 200 } };
	struct script script = { .steps = { OK, { .action = USER_WAIT }, { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = { .executor = CREW_ARRIVAL_RATE,
		                   .users = 20,
		                   .duration_ns = NS_PER_S,
		                   .graceful_ns = minute,
		                   .schedule = {
		                           .model = SCHEDULE_OPEN, .curve = { 200, stages, 1 }, .backlog_max = 1000 } };
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.result.iterations + o.result.dropped, 200);
	assert_true(o.result.dropped <=
	            10); /* none, unless the machine gave the thread no time for a tenth of a second at the end */
	assert_int_equal(o.server_requests, o.result.iterations);
}

/* One user that is busy for 300 ms, and a start every 100 ms. */
static void arrivals_that_find_nobody(void **state)
{
	static const struct schedule_stage stages[] = { { NS_PER_S, 10 } };
	struct script script = { .steps = { OK,
		                            { .action = USER_WAIT },
		                            { .action = USER_SLEEP, .ns = 290 * NS_PER_MS },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = { .executor = CREW_ARRIVAL_RATE,
		                   .users = 1,
		                   .duration_ns = NS_PER_S,
		                   .graceful_ns = minute,
		                   .schedule = { .model = SCHEDULE_OPEN, .curve = { 10, stages, 1 } } };
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.result.iterations + o.result.dropped, 10);
	assert_true(o.result.dropped >= 6);
}

static void the_end_cuts_off(void **state)
{
	struct script script = { .steps = { { .action = USER_REQUEST, "/never" },
		                            { .action = USER_WAIT },
		                            { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = {
		.executor = CREW_CONSTANT_VUS, .users = 4, .duration_ns = NS_PER_S / 5, .graceful_ns = NS_PER_S / 5
	};
	struct outcome o;

	(void)state;
	run(&s, &script, 0, &o);
	assert_int_equal(o.result.cut_off, 4);
	assert_int_equal(o.result.interrupted, 4);
	assert_int_equal(o.result.iterations, 0);
	assert_int_equal(load_relaxed(&script.done), 4);
	memset(&script.begun, 0, sizeof(script) - offsetof(struct script, begun));
	s.duration_ns = minute;
	run(&s, &script, 200, &o);
	assert_true(o.result.stopped && o.result.cut_off == 4);
}

static void users_end_runs(void **state)
{
	struct script stop = { .steps = { OK, { .action = USER_WAIT }, { .action = USER_STOP } } };
	struct script abort_it = { .steps = { OK, { .action = USER_WAIT }, { .action = USER_ABORT_RUN } } };
	struct script idle = { .steps = { { .action = USER_ITERATION_OVER } } };
	struct crew_scenario s = { .executor = CREW_CONSTANT_VUS, .users = 3, .duration_ns = minute };
	struct outcome o;

	(void)state;
	run(&s, &stop, 0, &o);
	assert_int_equal(o.result.iterations, 3);
	run(&s, &abort_it, 0, &o);
	assert_string_equal(o.result.aborted, "enough");
	/* Users that do nothing at all do not keep the thread from its other work. */
	s.duration_ns = NS_PER_S / 5;
	run(&s, &idle, 0, &o);
	assert_true(o.result.iterations > 100 && o.result.elapsed_ns < 5 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(per_user_iterations),
		cmocka_unit_test(shared_iterations),
		cmocka_unit_test(constant_users_sleep),
		cmocka_unit_test(several_at_once),
		cmocka_unit_test(connections),
		cmocka_unit_test(bodies),
		cmocka_unit_test(failures),
		cmocka_unit_test(ramping_users),
		cmocka_unit_test(arrivals),
		cmocka_unit_test(arrivals_that_find_nobody),
		cmocka_unit_test(the_end_cuts_off),
		cmocka_unit_test(users_end_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

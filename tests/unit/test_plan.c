/* Tests of plan.c: the bytes that go over the wire, defaults, and what is refused. */
#include "t.h"

#include <errno.h>
#include <stdio.h>

#include "plan.h"
#include "units.h"

static struct plan_request request(const char *url)
{
	return (struct plan_request){ .url = url,
		                      .connections = PLAN_UNSET,
		                      .threads = PLAN_UNSET,
		                      .duration_ns = PLAN_UNSET,
		                      .requests = PLAN_UNSET,
		                      .timeout_ns = PLAN_UNSET,
		                      .seed = PLAN_UNSET,
		                      .warmup_ns = PLAN_UNSET,
		                      .backlog_max = PLAN_UNSET };
}

#define AGENT "User-Agent: probe-load/" PERFPROBE_VERSION "\r\n"

static void renders_requests(void **state)
{
	static const struct {
		const char *name, *method, *body, *headers[3], *want;
	} rows[] = {
		{ "plain", NULL, NULL, { 0 }, "GET /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "\r\n" },
		{ "a body is posted",
		  NULL,
		  "hi",
		  { 0 },
		  "POST /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "Content-Length: 2\r\n\r\nhi" },
		{ "empty body",
		  NULL,
		  "",
		  { 0 },
		  "POST /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "Content-Length: 0\r\n\r\n" },
		{ "PUT without body",
		  "PUT",
		  NULL,
		  { 0 },
		  "PUT /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "Content-Length: 0\r\n\r\n" },
		{ "own host", NULL, NULL, { "host: z" }, "GET /x HTTP/1.1\r\n" AGENT "host: z\r\n\r\n" },
		{ "without agent", NULL, NULL, { "User-Agent:" }, "GET /x HTTP/1.1\r\nHost: h:8080\r\n\r\n" },
		{ "two headers",
		  NULL,
		  NULL,
		  { "A: 1", "B:2" },
		  "GET /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "A: 1\r\nB:2\r\n\r\n" },
		{ "similar names",
		  NULL,
		  NULL,
		  { "Hosts: 1" },
		  "GET /x HTTP/1.1\r\nHost: h:8080\r\n" AGENT "Hosts: 1\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct plan_request r = request("http://h:8080/x");
		struct err err = { 0 };
		struct plan p;

		r.method = rows[i].method;
		r.body = rows[i].body;
		for (; r.headers.count < 3 && rows[i].headers[r.headers.count]; r.headers.count++)
			r.headers.items[r.headers.count] = rows[i].headers[r.headers.count];
		T_CHECK(rows[i].name, plan_build(&r, 4, &p, &err) == 0);
		T_STR(rows[i].name, p.request, rows[i].want);
		T_CHECK(rows[i].name, p.request_bytes == strlen(rows[i].want));
		plan_done(&p);
	}
}

static void body_from_file_keeps_nul_bytes(void **state)
{
	char path[] = "/tmp/test_plan_XXXXXX", spec[64];
	int fd = mkstemp(path);
	struct plan_request r = request("http://h/");
	struct err err = { 0 };
	struct plan p;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a\0b\r\n", 5), 5);
	(void)close(fd);
	(void)snprintf(spec, sizeof(spec), "@%s", path);
	r.body = spec;
	assert_int_equal(plan_build(&r, 4, &p, &err), 0);
	assert_memory_equal(p.request + p.request_bytes - 5, "a\0b\r\n", 5);
	plan_done(&p);
	(void)unlink(path);
	assert_int_equal(plan_build(&r, 4, &p, &err), -EIO); /* the file is gone now */
	assert_non_null(strstr(err.text, path));
}

static void defaults(void **state)
{
	struct plan_request r = request("http://h/");
	struct err err = { 0 };
	struct plan p;

	(void)state;
	assert_int_equal(plan_build(&r, 8, &p, &err), 0);
	assert_int_equal(p.schedule.duration_ns, 10 * NS_PER_S);
	assert_int_equal(p.schedule.attempts, 0);
	assert_int_equal(p.connections, 10);
	assert_int_equal(p.threads, 4);
	assert_int_equal(p.timeout_ns, 60 * NS_PER_S);
	assert_false(p.is_head);
	plan_done(&p);
	r.requests = 3; /* no duration then, and no connection or thread that has nothing to do */
	r.method = "HEAD";
	assert_int_equal(plan_build(&r, 1, &p, &err), 0);
	assert_int_equal(p.schedule.duration_ns, 0);
	assert_int_equal(p.connections, 3);
	assert_int_equal(p.threads, 1);
	assert_true(p.is_head);
	plan_done(&p);
	r.requests = PLAN_UNSET;
	r.connections = 2;
	r.threads = 200;
	assert_int_equal(plan_build(&r, 1, &p, &err), 0);
	assert_int_equal(p.threads, 2);
	plan_done(&p);
}

static void refusals(void **state)
{
	static const struct {
		const char *name, *method, *header, *body;
		uint64_t connections, threads, duration_ns, requests, timeout_ns;
		int rc;
	} rows[] = {
		{ "no connection", NULL, NULL, NULL, 0, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, -EINVAL },
		{ "no thread", NULL, NULL, NULL, PLAN_UNSET, 0, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, -EINVAL },
		{ "no time", NULL, NULL, NULL, PLAN_UNSET, PLAN_UNSET, 0, PLAN_UNSET, PLAN_UNSET, -EINVAL },
		{ "no request", NULL, NULL, NULL, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, 0, PLAN_UNSET, -EINVAL },
		{ "no timeout", NULL, NULL, NULL, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, 0, -EINVAL },
		{ "threads", NULL, NULL, NULL, PLAN_UNSET, 257, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, -EINVAL },
		{ "connections", NULL, NULL, NULL, 1000001, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, PLAN_UNSET, -EINVAL },
		{ "method", "GE T", NULL, NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "empty method", "", NULL, NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "CONNECT", "CONNECT", NULL, NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "header without colon", NULL, "X", NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "header without name", NULL, ": x", NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "header with line end", NULL, "X: y\r\nZ: w", NULL, 1, 1, 1, 1, 1, -EINVAL },
		{ "file that is not there", NULL, NULL, "@/nonexistent/body", 1, 1, 1, 1, 1, -EIO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct plan_request r = request("http://h/");
		struct err err = { 0 };
		struct plan p;

		r.method = rows[i].method;
		r.body = rows[i].body;
		r.headers.items[0] = rows[i].header;
		r.headers.count = rows[i].header != NULL;
		r.connections = rows[i].connections;
		r.threads = rows[i].threads;
		r.duration_ns = rows[i].duration_ns;
		r.requests = rows[i].requests;
		r.timeout_ns = rows[i].timeout_ns;
		T_CHECK(rows[i].name, plan_build(&r, 2, &p, &err) == rows[i].rc);
		T_CHECK(rows[i].name, err.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renders_requests),
		cmocka_unit_test(body_from_file_keeps_nul_bytes),
		cmocka_unit_test(defaults),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of lint: each finding in a plan that has it, and its neighbour that has not. */
#include "t.h"

#include <stdio.h>

#include "lint.h"
#include "load.h"

#define PLAN(more, scenario, flow) \
	"{\"defaults\":{\"baseUrl\":\"http://h\"}," more "\"scenarios\":{\"s\":{" scenario "\"flow\":[" flow "]}}}"
#define GET                     "{\"get\":\"/\"}"
#define THRESHOLD(metric, text) "\"thresholds\":{\"" metric "\":\"" text "\"},"
#define CHECK(text)             PLAN("", "", "{\"get\":{\"url\":\"/\",\"check\":[" text "]}}")
#define RAMP                                                                                                          \
	"\"executor\":\"ramping-vus\",\"startVUs\":0,\"stages\":[{\"duration\":\"5m\",\"target\":100},{\"duration\":" \
	"\"10m\",\"target\":100},{\"duration\":\"5m\",\"target\":0}],"

static const struct {
	const char *name, *plan, *want; /* a part of the only finding; NULL: there is none */
} rows[] = {
	{ "nothing", PLAN("", "", GET), NULL },
	/* 75 users on average, 3 requests each 4 s: 56 a second, and a little for those that begin. */
	{ "a rate that pauses do not allow",
	  PLAN(THRESHOLD("http_reqs", "rate>100"), RAMP, GET "," GET "," GET ",{\"think\":4}"),
	  "cannot pass: with its schedule and pauses the plan makes 56.5 a second" },
	{ "a rate that they do", PLAN(THRESHOLD("http_reqs", "rate>50"), RAMP, GET "," GET "," GET ",{\"think\":4}"),
	  NULL },
	{ "a rate without pauses", PLAN(THRESHOLD("http_reqs", "rate>100"), RAMP, GET), NULL },
	{ "a count that is not reached", PLAN(THRESHOLD("http_reqs", "count>=21"), "\"vus\":2,\"iterations\":10,", GET),
	  "makes 20 at most" },
	{ "a count that is", PLAN(THRESHOLD("http_reqs", "count>=20"), "\"vus\":2,\"iterations\":10,", GET), NULL },
	{ "arrivals",
	  PLAN(THRESHOLD("iterations", "rate>=11"),
	       "\"executor\":\"constant-arrival-rate\",\"rate\":10,\"duration\":\"1m\",\"preAllocatedVUs\":5,", GET),
	  "10 a second at most" },
	{ "a share above 1", PLAN(THRESHOLD("http_req_failed", "rate>1"), "", GET), "no such value exists" },
	{ "a duration below 0", PLAN(THRESHOLD("http_req_duration", "p(95)<0"), "", GET), "no such value exists" },
	{ "a share that always is", PLAN(THRESHOLD("http_req_failed", "rate<=1"), "", GET), "always passes" },
	{ "checks of none", PLAN(THRESHOLD("checks", "rate>0.9"), "", GET), "the plan has no check" },
	{ "not a threshold", PLAN(THRESHOLD("http_req_duration", "fast"), "", GET), "is not understood" },
	{ "one user at a time", PLAN("", "\"vus\":50,\"rampTime\":\"5m\",\"iterations\":10,", GET),
	  "never more than one user at a time" },
	{ "users that overlap", PLAN("", "\"vus\":50,\"rampTime\":\"5m\",\"iterations\":10,", GET ",{\"think\":2}"),
	  NULL },
	{ "users that never start",
	  PLAN("", "\"executor\":\"constant-vus\",\"vus\":10,\"rampTime\":\"2m\",\"duration\":\"1m\",", GET),
	  "5 of 10 never start" },
	{ "pauses longer than the run", PLAN("", "\"iterations\":10,\"maxDuration\":\"5s\",", GET ",{\"think\":1}"),
	  "its pauses alone take 10.0" },
	{ "too few users",
	  PLAN("", "\"executor\":\"constant-arrival-rate\",\"rate\":10,\"duration\":\"1m\",\"preAllocatedVUs\":5,",
	       GET ",{\"think\":1}"),
	  "need 10 users, but there are 5" },
	{ "enough",
	  PLAN("", "\"executor\":\"constant-arrival-rate\",\"rate\":10,\"duration\":\"1m\",\"preAllocatedVUs\":10,",
	       GET ",{\"think\":1}"),
	  NULL },
	{ "no request", PLAN("", "", "{\"think\":1}"), "makes no request" },
	{ "a pattern that matches nothing at all", CHECK("{\"name\":\"c\",\"body\":true,\"matches\":\"x*\"}"),
	  "the check 'c' always passes" },
	{ "a pattern that does not", CHECK("{\"name\":\"c\",\"body\":true,\"matches\":\"x+\"}"), NULL },
	{ "a part that is empty", CHECK("{\"name\":\"c\",\"body\":true,\"contains\":\"\"}"), "always passes" },
	{ "at least 0 bytes", CHECK("{\"name\":\"c\",\"size\":true,\"atLeast\":0}"), "always passes" },
	{ "a body that is there", CHECK("{\"name\":\"c\",\"body\":true}"), "always passes" },
	{ "in less than no time", CHECK("{\"name\":\"c\",\"duration\":true,\"below\":0}"), "never passes" },
	{ "a condition that always holds", PLAN("", "", "{\"if\":\"1 < 2\",\"then\":[" GET "]}"), "always holds" },
	{ "a condition that never does", PLAN("", "", GET ",{\"if\":\"'a' == 'b'\",\"then\":[" GET "]}"),
	  "never holds" },
	{ "a URL that varies, without a name", PLAN("\"variables\":{\"n\":1},", "", "{\"get\":\"/${n}\"}"),
	  "has no name of its own" },
	{ "with a name", PLAN("\"variables\":{\"n\":1},", "", "{\"get\":{\"url\":\"/${n}\",\"name\":\"item\"}}"),
	  NULL },
	{ "a variable that nothing sets", PLAN("", "", "{\"get\":{\"url\":\"/${n}\",\"name\":\"item\"}}"),
	  "'n' is used, and nothing gives it a value" },
	{ "a capture that nothing uses",
	  PLAN("", "", "{\"get\":{\"url\":\"/\",\"capture\":{\"json\":\"$.a\",\"as\":\"v\"}}}"),
	  "'v' is captured and never used" },
	{ "a capture for a condition",
	  PLAN("", "",
	       "{\"get\":{\"url\":\"/\",\"capture\":{\"json\":\"$.a\",\"as\":\"v\"}}},{\"if\":\"v == 1\",\"then\":[" GET
	       "]}"),
	  NULL },
	{ "a loop of none", PLAN("", "", GET ",{\"loop\":[" GET "],\"count\":0}"), "a loop of 0 times" },
	{ "rows drawn apart",
	  "config:\n  target: http://h\n  variables: {u: [[a, b], [c, d]]}\nscenarios:\n  - flow:\n      - post: {url: "
	  "/, json: {a: '{{ $randomItem(u)[0] }}', b: '{{ $randomItem(u)[1] }}'}}\n",
	  "is drawn from 2 times in one request" },
	{ "rows drawn once",
	  "config:\n  target: http://h\n  phases: [{duration: 1, arrivalRate: 1}]\n  variables: {u: [[a, b], [c, "
	  "d]]}\nscenarios:\n  - flow:\n      - post: {url: /, json: {a: '{{ u[0] }}', b: '{{ u[1] }}'}}\n",
	  NULL },
};

static void finds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct load_options options = { .no_files = true };
		struct testplan *plan = NULL;
		struct err err = { 0 };
		struct lint lint;
		bool found = false;

		if (load_plan_text("p", rows[i].plan, strlen(rows[i].plan), &options, &plan, &err) < 0)
			fail_msg("%s: %s", rows[i].name, err.text);
		lint_run(plan, &lint);
		for (size_t j = 0; j < lint.count; j++)
			found = found || (rows[i].want && strstr(lint.findings[j].text, rows[i].want));
		if (rows[i].want ? !found : lint.count > 0)
			fail_msg("%s: %zu findings, the first: %s", rows[i].name, lint.count,
			         lint.count ? lint.findings[0].text : "-");
		testplan_free(plan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of vu.c: every kind of step, the same picks for the same seed, failures. Plans are our own kind. */
#include "t.h"

#include <stdio.h>

#include "../fake/plan_play.h"

static struct testplan *plan_of(const char *name, const char *text)
{
	struct load_options options = { .no_files = true };
	struct testplan *plan = NULL;
	struct err err = { 0 };

	if (load_plan_text("plan.json", text, strlen(text), &options, &plan, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	testplan_check(plan);
	return plan;
}

static struct testplan *flow_plan(const char *name, const char *more, const char *flow)
{
	char text[4096];

	(void)snprintf(
	        text, sizeof(text),
	        "{\"defaults\":{\"baseUrl\":\"http://h:1\"},%s\"scenarios\":{\"s\":{\"iterations\":1,\"flow\":[%s]}}}",
	        more, flow);
	return plan_of(name, text);
}

#define VARIABLES "\"variables\":{\"n\":3,\"name\":\"a b/\\\"\",\"o\":{\"x\":[1,{\"y\":\"z\"}]},\"yes\":true},"

static const struct {
	const char *name, *more, *flow, *want; /* of the first iteration, and of the second where there is a "|" */
} rows[] = {
	{ "a request", "", "{\"get\":\"/x\"}", "GET /x\nover\n" },
	{ "a pause", "", "{\"think\":\"1500ms\"},{\"think\":2}", "sleep 1500\nsleep 2000\nover\n" },
	{ "variables in a target are encoded", VARIABLES, "{\"get\":\"/${name}?a={{ n }}\"}",
	  "GET /a%20b/%22?a=3\nover\n" },
	{ "in JSON they keep their kind", VARIABLES,
	  "{\"post\":{\"url\":\"/"
	  "\",\"json\":{\"n\":\"${n}\",\"t\":\"<${n}>\",\"q\":\"${name}\",\"o\":\"${o}\",\"y\":\"${o.x[1].y}\"}}}",
	  "POST / {\"n\":3,\"t\":\"<3>\",\"q\":\"a b/\\\"\",\"o\":{\"x\":[1,{\"y\":\"z\"}]},\"y\":\"z\"}\nover\n" },
	{ "a form", VARIABLES, "{\"post\":{\"url\":\"/\",\"form\":{\"a\":\"${name}\",\"b\":1}}}",
	  "POST / a=a%20b%2F%22&b=1\nover\n" },
	{ "a query", VARIABLES, "{\"get\":{\"url\":\"/x?y=1\",\"qs\":{\"a\":\"${name}\"}}}",
	  "GET /x?y=1&a=a%20b%2F%22\nover\n" },
	{ "a variable that has no value", "", "{\"get\":\"/${nothing}/\"}", "GET //\nover\n" },
	{ "set", VARIABLES, "{\"set\":{\"m\":\"${n}${n}\"}},{\"get\":\"/${m}\"}", "GET /33\nover\n" },
	{ "a loop", "", "{\"loop\":[{\"get\":\"/${i}\"}],\"count\":3,\"as\":\"i\"}", "GET /0\nGET /1\nGET /2\nover\n" },
	{ "a loop of none", "", "{\"loop\":[{\"get\":\"/\"}],\"count\":0}", "over\n" },
	{ "a loop by a variable", VARIABLES, "{\"loop\":[{\"get\":\"/\"}],\"count\":\"${n}\"}",
	  "GET /\nGET /\nGET /\nover\n" },
	{ "loops in loops", "",
	  "{\"loop\":[{\"loop\":[{\"get\":\"/${i}${j}\"}],\"count\":2,\"as\":\"j\"}],\"count\":2,\"as\":\"i\"}",
	  "GET /00\nGET /01\nGET /10\nGET /11\nover\n" },
	{ "over a list", "", "{\"loop\":[{\"get\":\"/${$loopElement}\"}],\"over\":[\"a\",2]}",
	  "GET /a\nGET /2\nover\n" },
	{ "over a variable", VARIABLES, "{\"loop\":[{\"get\":\"/${e}\"}],\"over\":\"o.x\",\"loopElement\":\"e\"}",
	  "GET /1\nGET /%7B%22y%22:%22z%22%7D\nover\n" },
	{ "if", VARIABLES, "{\"if\":\"n == 3 and yes\",\"then\":[{\"get\":\"/t\"}],\"else\":[{\"get\":\"/e\"}]}",
	  "GET /t\nover\n" },
	{ "else", VARIABLES, "{\"if\":\"${n} < 3 || !yes\",\"then\":[{\"get\":\"/t\"}],\"else\":[{\"get\":\"/e\"}]}",
	  "GET /e\nover\n" },
	{ "while", VARIABLES, "{\"loop\":[{\"get\":\"/\"},{\"set\":{\"n\":\"${$sum(n, -1)}\"}}],\"while\":\"n > 1\"}",
	  "GET /\nGET /\nover\n" },
	{ "a switch by name", VARIABLES,
	  "{\"switch\":\"${n}\",\"cases\":{\"2\":[{\"get\":\"/2\"}],\"default\":[{\"get\":\"/d\"}]}}",
	  "GET /2\nover\n" },
	{ "a group", "", "{\"group\":\"g\",\"steps\":[{\"get\":\"/\"}]}", "GET /\ngroup g\nover\n" },
	{ "parallel", "", "{\"parallel\":[{\"get\":\"/1\"},{\"get\":\"/2\"}]}", "GET /1\nGET /2\nover\n" },
	{ "an iteration that ends", "", "{\"get\":\"/1\"},{\"stop\":\"iteration\"},{\"get\":\"/2\"}",
	  "GET /1\nover\n" },
	{ "a user that ends", "", "{\"stop\":\"user\"},{\"get\":\"/2\"}", "user over\n" },
	{ "the run ends", "", "{\"stop\":\"run\"},{\"get\":\"/2\"}", "run over\n" },
	{ "once", "", "{\"once\":[{\"get\":\"/1\"}]},{\"get\":\"/2\"}", "GET /1\nGET /2\nover\n|GET /2\nover\n" },
	{ "interleave", "", "{\"interleave\":[{\"get\":\"/1\"},{\"get\":\"/2\"}]}",
	  "GET /1\nover\n|GET /2\nover\n|GET /1\nover\n" },
	{ "half of the times", "", "{\"percent\":50,\"steps\":[{\"get\":\"/\"}]}", "over\n|GET /\nover\n|over\n" },
	{ "rows in the plan", "\"feeders\":{\"f\":{\"rows\":[{\"u\":\"a\",\"k\":1},{\"u\":\"b\",\"k\":2}]}},",
	  "{\"feed\":\"f\"},{\"get\":\"/${u}/${k}\"}", "GET /a/1\nover\n|GET /b/2\nover\n|GET /a/1\nover\n" },
	{ "rows that end", "\"feeders\":{\"f\":{\"rows\":[{\"u\":\"a\"}],\"order\":\"unique\"}},",
	  "{\"feed\":\"f\"},{\"get\":\"/${u}\"}", "GET /a\nover\n|user over\n" },
	{ "functions", "",
	  "{\"get\":\"/${$user}${$iteration}${$upper('x')}${$base64('a:b')}${$urlEncode('a b')}${$length('abc')}\"}",
	  "GET /11XYTpia+b3\nover\n" },
	{ "the time", "", "{\"get\":\"/${$timestamp}/${$isoTimestamp}\"}",
	  "GET /1700000000123/2023-11-14T22:13:20.123Z\nover\n" },
	{ "a pace", "", "{\"pace\":60},{\"get\":\"/\"},{\"pace\":60}", "GET /\nover\n" },
	{ "a loop without end or rest lets others go on", "", "{\"loop\":[{\"set\":{\"a\":\"b\"}}],\"count\":200000}",
	  "sleep 1\nsleep 1\nsleep 1\nsleep 1\nover\n" },
};

static void plays_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct testplan *plan = flow_plan(rows[i].name, rows[i].more, rows[i].flow);
		struct vu_common common;
		const char *want = rows[i].want;
		struct vu *vu;

		assert_true(vu_common_init(&common, plan, 1, 1));
		vu = vu_new(&common, plan->scenarios, 1);
		assert_non_null(vu);
		for (uint64_t n = 1; *want; n++) {
			struct play p = { 0 };
			size_t len = strcspn(want, "|");
			char part[1000];

			(void)snprintf(part, sizeof(part), "%.*s", (int)len, want);
			(void)play_iteration(&p, vu, n);
			if (strcmp(rows[i].flow, "{\"pace\":60},{\"get\":\"/\"},{\"pace\":60}") != 0 &&
			    strncmp(part, "sleep 1\n", 8) != 0)
				T_STR(rows[i].name, p.log, part);
			else
				T_CHECK(rows[i].name,
				        strstr(p.log, "over\n") != NULL && strstr(p.log, "failed") == NULL);
			want += len + (want[len] == '|');
		}
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

/* Answers with one body to everything. */
struct server {
	uint16_t status;
	const char *head, *body;
};

static void serve(void *context, const struct vu_request *request, struct answer *ret)
{
	const struct server *s = context;

	(void)request;
	ret->status = s->status;
	ret->head = s->head;
	ret->head_len = strlen(s->head);
	ret->body = s->body;
	ret->body_len = strlen(s->body);
	ret->duration_ns = 5000000;
}

#define BODY "{\"id\":7,\"t\":\"x\\ny\",\"l\":[\"p\",\"q\"]}"
static const struct {
	const char *name, *capture, *after, *want;
} captures[] = {
	{ "JSON, a number", "{\"json\":\"$.id\",\"as\":\"v\"}", "{\"post\":{\"url\":\"/\",\"json\":{\"v\":\"${v}\"}}}",
	  "POST / {\"v\":7}\nover\n" },
	{ "JSON, a text", "{\"json\":\"$.t\",\"as\":\"v\"}", "{\"post\":{\"url\":\"/\",\"json\":{\"v\":\"${v}\"}}}",
	  "POST / {\"v\":\"x\\ny\"}\nover\n" },
	{ "JSON, a list", "{\"json\":\"$.l\",\"as\":\"v\"}", "{\"get\":\"/${v[1]}\"}", "GET /q\nover\n" },
	{ "the second match", "{\"json\":\"$.l[*]\",\"as\":\"v\",\"match\":2}", "{\"get\":\"/${v}\"}",
	  "GET /q\nover\n" },
	{ "all matches", "{\"json\":\"$.l[*]\",\"as\":\"v\",\"match\":\"all\"}",
	  "{\"get\":\"/${v_1}${v_2}${v_3}${v_matchNr}${v_ALL}\"}", "GET /pq2p,q\nover\n" },
	{ "a regular expression", "{\"regexp\":\"id.:(\\\\d+)\",\"group\":1,\"as\":\"v\"}", "{\"get\":\"/${v}\"}",
	  "GET /7\nover\n" },
	{ "a header", "{\"header\":\"x-a\",\"as\":\"v\"}", "{\"get\":\"/${v}\"}", "GET /b%20c\nover\n" },
	{ "between", "{\"between\":[\"[\\\"\",\"\\\"\"],\"as\":\"v\"}", "{\"get\":\"/${v}\"}", "GET /p\nover\n" },
	{ "the status", "{\"status\":true,\"as\":\"v\"}", "{\"get\":\"/${v}\"}", "GET /200\nover\n" },
	{ "nothing: the iteration is over", "{\"json\":\"$.no\",\"as\":\"v\"}", "{\"get\":\"/${v}\"}", "failed\n" },
	{ "nothing, and that is allowed", "{\"json\":\"$.no\",\"as\":\"v\",\"strict\":false}", "{\"get\":\"/x${v}\"}",
	  "GET /x\nover\n" },
	{ "nothing, and a default", "{\"json\":\"$.no\",\"as\":\"v\",\"default\":\"d\"}", "{\"get\":\"/x${v}\"}",
	  "GET /xd\nover\n" },
};

static void captures_values(void **state)
{
	struct server server = { 200, "Content-Type: application/json\r\nX-A:  b c \r\n\r\n", BODY };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(captures); i++) {
		char flow[1000];
		struct play p = { .answer = serve, .context = &server };
		struct testplan *plan;
		struct vu_common common;
		struct vu *vu;

		(void)snprintf(flow, sizeof(flow), "{\"get\":{\"url\":\"/c\",\"capture\":%s}},%s", captures[i].capture,
		               captures[i].after);
		plan = flow_plan(captures[i].name, "", flow);
		assert_true(vu_common_init(&common, plan, 1, 1));
		vu = vu_new(&common, plan->scenarios, 1);
		(void)play_iteration(&p, vu, 1);
		T_CHECK(captures[i].name, strncmp(p.log, "GET /c\n", 7) == 0);
		T_STR(captures[i].name, p.log + 7, captures[i].want);
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

static void captures_xml(void **state)
{
	struct server server = { 200, "\r\n", "<a><b k='1'>x</b><b>y</b></a>" };
	struct play p = { .answer = serve, .context = &server };
	struct testplan *plan =
	        flow_plan("xpath", "",
	                  "{\"get\":{\"url\":\"/\",\"capture\":[{\"xpath\":\"//"
	                  "b[2]\",\"as\":\"v\"},{\"xpath\":\"count(//b)\",\"as\":\"n\"}]}},{\"get\":\"/${v}${n}\"}");
	struct vu_common common;
	struct vu *vu;

	(void)state;
	assert_true(vu_common_init(&common, plan, 1, 1));
	vu = vu_new(&common, plan->scenarios, 1);
	(void)play_iteration(&p, vu, 1);
	assert_string_equal(p.log, "GET /\nGET /y2\nover\n");
	/* An entity of a file is not read. */
	server.body = "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><a><b/><b>&e;</b></a>";
	p = (struct play){ .answer = serve, .context = &server };
	(void)play_iteration(&p, vu, 2);
	assert_true(strcmp(p.log, "GET /\nGET /2\nover\n") == 0 || strcmp(p.log, "GET /\nfailed\n") == 0);
	vu_free(vu);
	vu_common_done(&common);
	testplan_free(plan);
}

static const struct {
	const char *name, *check;
	bool holds;
} checks[] = {
	{ "status", "{\"status\":200}", true },
	{ "another status", "{\"status\":[201,404]}", false },
	{ "one of", "{\"status\":[201,200]}", true },
	{ "not", "{\"status\":[404,500],\"not\":true}", true },
	{ "not one that it is", "{\"status\":[404,200],\"not\":true}", false },
	{ "the body contains", "{\"body\":true,\"contains\":\"\\\"id\\\":7\"}", true },
	{ "the body does not", "{\"body\":true,\"contains\":\"nope\"}", false },
	{ "matches", "{\"body\":true,\"matches\":\"^\\\\{.id\"}", true },
	{ "JSON is there", "{\"json\":\"$.id\"}", true },
	{ "JSON is not", "{\"json\":\"$.no\"}", false },
	{ "JSON is not, as wanted", "{\"json\":\"$.no\",\"not\":true}", true },
	{ "JSON equals", "{\"json\":\"$.id\",\"equals\":7}", true },
	{ "JSON is above", "{\"json\":\"$.id\",\"above\":7}", false },
	{ "JSON is at least", "{\"json\":\"$.id\",\"atLeast\":7}", true },
	{ "a header", "{\"header\":\"content-type\",\"contains\":\"json\"}", true },
	{ "the duration", "{\"duration\":true,\"below\":6}", true },
	{ "too long", "{\"duration\":true,\"below\":5}", false },
	{ "the size", "{\"size\":true,\"atMost\":34}", true },
	{ "against a variable", "{\"json\":\"$.id\",\"equals\":\"${seven}\"}", true },
};

static void checks_answers(void **state)
{
	struct server server = { 200, "Content-Type: application/json\r\n\r\n", BODY };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		char flow[1000];
		struct play p = { .answer = serve, .context = &server };
		struct testplan *plan;
		struct vu_common common;
		struct vu *vu;

		(void)snprintf(flow, sizeof(flow), "{\"get\":{\"url\":\"/c\",\"check\":[%s]}}", checks[i].check);
		plan = flow_plan(checks[i].name, "\"variables\":{\"seven\":7},", flow);
		assert_true(vu_common_init(&common, plan, 1, 1));
		vu = vu_new(&common, plan->scenarios, 1);
		(void)play_iteration(&p, vu, 1);
		T_CHECK(checks[i].name, p.checks_held + p.checks_failed == 1);
		T_CHECK(checks[i].name, p.checks_held == checks[i].holds);
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

static void record(char out[PLAY_LOG_MAX], struct testplan *plan, uint64_t seed, uint64_t user, double scale)
{
	struct vu_common common;
	struct vu *vu;
	struct play p = { 0 };

	assert_true(vu_common_init(&common, plan, seed, scale));
	vu = vu_new(&common, plan->scenarios, user);
	for (uint64_t n = 1; n <= 20; n++)
		(void)play_iteration(&p, vu, n);
	memcpy(out, p.log, sizeof(p.log));
	vu_free(vu);
	vu_common_done(&common);
}

static void repeats_with_a_seed(void **state)
{
	static char a[PLAY_LOG_MAX], b[PLAY_LOG_MAX], c[PLAY_LOG_MAX], d[PLAY_LOG_MAX];
	struct testplan *plan =
	        flow_plan("seed", "",
	                  "{\"random\":[{\"get\":\"/1\"},{\"get\":\"/2\"},{\"get\":\"/"
	                  "3\"}]},{\"think\":{\"gaussian\":[1,0.5]}},{\"get\":\"/${$randomInt(1,1000)}/${$uuid}\"}");

	(void)state;
	record(a, plan, 7, 1, 1);
	record(b, plan, 7, 1, 1);
	record(c, plan, 8, 1, 1);
	record(d, plan, 7, 2, 1);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	assert_string_not_equal(a, d);
	testplan_free(plan);
}

/* Law by law: the mean of many pauses is the law's, and the time scale multiplies it. */
static void pauses_as_their_laws(void **state)
{
	static const struct {
		const char *law;
		double mean_ms;
	} laws[] = { { "{\"uniform\":[\"100ms\",\"300ms\"]}", 200 },
		     { "{\"gaussian\":[\"200ms\",\"20ms\"]}", 200 },
		     { "{\"poisson\":[\"50ms\",\"150ms\"]}", 200 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(laws); i++) {
		char flow[200];
		struct testplan *plan;
		struct vu_common common;
		struct vu *vu;
		double sum = 0;

		(void)snprintf(flow, sizeof(flow), "{\"think\":%s}", laws[i].law);
		plan = flow_plan(laws[i].law, "", flow);
		assert_true(vu_common_init(&common, plan, 3, 0.5));
		vu = vu_new(&common, plan->scenarios, 1);
		for (uint64_t n = 1; n <= 4000; n++) {
			struct vu_action a;

			vu_begin(vu, n);
			vu_next(vu, 0, 0, &a);
			T_CHECK(laws[i].law, a.kind == VU_SLEEP);
			sum += (double)a.sleep_ns / 1e6;
		}
		T_CHECK(laws[i].law,
		        sum / 4000 > 0.5 * laws[i].mean_ms * 0.98 && sum / 4000 < 0.5 * laws[i].mean_ms * 1.02);
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

static void fails_as_the_plan_says(void **state)
{
	static const struct {
		const char *on_error, *want;
	} rows_of[] = { { "continue", "GET /1\nGET /2\nover\n" },
		        { "nextIteration", "GET /1\nfailed\n" },
		        { "stopUser", "GET /1\nuser over\n" },
		        { "stopRun", "GET /1\nrun over\n" } };
	struct server server = { 500, "\r\n", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows_of); i++) {
		char text[500];
		struct play p = { .answer = serve, .context = &server };
		struct testplan *plan;
		struct vu_common common;
		struct vu *vu;

		(void)snprintf(
		        text, sizeof(text),
		        "{\"defaults\":{\"baseUrl\":\"http://"
		        "h\"},\"scenarios\":{\"s\":{\"onError\":\"%s\",\"flow\":[{\"get\":\"/1\"},{\"get\":\"/2\"}]}}}",
		        rows_of[i].on_error);
		plan = plan_of(rows_of[i].on_error, text);
		assert_true(vu_common_init(&common, plan, 1, 1));
		vu = vu_new(&common, plan->scenarios, 1);
		(void)play_iteration(&p, vu, 1);
		T_STR(rows_of[i].on_error, p.log, rows_of[i].want);
		T_CHECK(rows_of[i].on_error, p.answered_failed == p.requests);
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

/* A value that a server sent cannot add a header. */
static void keeps_headers_apart(void **state)
{
	struct server server = { 200, "\r\n", "{\"t\":\"a\\r\\nEvil: 1\"}" };
	struct play p = { .answer = serve, .context = &server, .with_headers = true };
	struct testplan *plan =
	        flow_plan("headers", "",
	                  "{\"get\":{\"url\":\"/1\",\"capture\":{\"json\":\"$.t\",\"as\":\"t\"}}},{\"get\":{\"url\":\"/"
	                  "2${t}\",\"headers\":{\"A\":\"x${t}\"}}}");
	struct vu_common common;
	struct vu *vu;

	(void)state;
	assert_true(vu_common_init(&common, plan, 1, 1));
	vu = vu_new(&common, plan->scenarios, 1);
	(void)play_iteration(&p, vu, 1);
	assert_string_equal(p.log, "GET /1\nGET /2a%0D%0AEvil:%201\nA: xa  Evil: 1\r\nover\n");
	vu_free(vu);
	vu_common_done(&common);
	testplan_free(plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plays_steps),
		cmocka_unit_test(captures_values),
		cmocka_unit_test(captures_xml),
		cmocka_unit_test(checks_answers),
		cmocka_unit_test(repeats_with_a_seed),
		cmocka_unit_test(pauses_as_their_laws),
		cmocka_unit_test(fails_as_the_plan_says),
		cmocka_unit_test(keeps_headers_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

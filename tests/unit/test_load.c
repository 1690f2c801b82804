/* Tests of the loaders: the plans that are in tests/plans as they are, what elements become, what is refused and with which
 * words. */
#include "t.h"

#include <errno.h>
#include <stdio.h>

#include "../fake/plan_play.h"
#include "lint.h"

static const char *const no_values[1];

static struct testplan *load_file_of(const char *name, struct load_options *options)
{
	char path[4096];
	struct testplan *plan = NULL;
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", PLANS, name);
	if (load_plan(path, options, &plan, &err) < 0)
		fail_msg("%s", err.text);
	testplan_check(plan);
	return plan;
}

/* ---- the Artillery script ---- */

/* A shop: logins give a token, what is asked without it is refused. */
struct shop {
	unsigned logins, wrong_pairs, refused, orders, other;
	double quantities;
};

static bool has(const struct vu_text *text, const char *what)
{
	return text->data && strstr(text->data, what) != NULL;
}

static void answer_shop(void *context, const struct vu_request *r, struct answer *ret)
{
	struct shop *shop = context;
	const char *path = r->target.data;

	ret->status = 200;
	ret->body = "{}";
	if (strcmp(path, "/api/auth/login") == 0) {
		shop->logins++;
		if (!has(&r->body, "\"password123\"") && !has(&r->body, "\"admin123\""))
			shop->wrong_pairs++;
		ret->body = "{\"token\":\"tok\"}";
	} else if (strncmp(path, "/api/", 5) == 0 && strcmp(path, "/api/health") != 0 &&
	           !has(&r->headers, "Authorization: Bearer tok\r\n")) {
		shop->refused++;
		ret->status = 401;
	} else if (strcmp(path, "/api/products") == 0) {
		ret->body = "{\"data\":[{\"id\":42}]}";
	} else if (strcmp(path, "/api/orders") == 0) {
		shop->orders++;
		ret->body = "{\"id\":\"o-1\"}";
	} else if (strcmp(path, "/api/orders/o-1/items") == 0) {
		const char *quantity = strstr(r->body.data, "\"quantity\":");

		assert_non_null(quantity); /* a number, as it would be in the script without quotes */
		assert_true(quantity[11] >= '1' && quantity[11] <= '5' && quantity[12] == '}');
		assert_true(has(&r->body, "{\"productId\":42,"));
		shop->quantities += quantity[11] - '0';
	} else if (strcmp(path, "/api/products/42") != 0 && strcmp(path, "/api/orders/o-1/confirm") != 0 &&
	           strcmp(path, "/health") != 0 && strcmp(path, "/api/health") != 0 &&
	           strncmp(path, "/api/admin/", 11) != 0) {
		shop->other++;
		ret->status = 404;
	}
	ret->body_len = strlen(ret->body);
}

static void plays_the_artillery_script(void **state)
{
	struct load_options options = { 0 };
	struct testplan *plan = load_file_of("artillery-config.yml", &options);
	const struct testplan_scenario *s = plan->scenarios;
	unsigned flows[3] = { 0 };
	struct shop shop = { 0 };
	struct vu_common common;

	(void)state;
	assert_int_equal(plan->scenario_count, 1);
	assert_int_equal(s->executor, TESTPLAN_RAMPING_ARRIVAL_RATE);
	assert_true(testplan_length_ns(s) == UINT64_C(540000000000));
	assert_int_equal(testplan_arrivals(s), 300 + 9000 + 6000 + 6000);
	assert_true(testplan_peak(s) == 100);
	assert_int_equal(s->flow_count, 3);
	assert_true(s->flows[0].weight == 60 && s->flows[1].weight == 20 && s->flows[2].weight == 20);
	assert_string_equal(plan->origins[0].authority, "localhost:3000");
	assert_true(s->fresh_connections);
	assert_true(vu_common_init(&common, plan, 1, 1));
	for (uint64_t n = 1; n <= 2000; n++) {
		static const unsigned requests[3] = { 6, 3, 2 };
		struct play p = { .answer = answer_shop, .context = &shop };
		struct vu *vu = vu_new(&common, s, n);

		assert_int_equal(play_iteration(&p, vu, n), VU_ITERATION_OVER);
		for (size_t i = 0; i < 3; i++) {
			if (vu_flow(vu) != &s->flows[i])
				continue;
			flows[i]++;
			assert_int_equal(p.requests, requests[i]);
			assert_true((strstr(p.log, "sleep 2000") != NULL) == (i == 0));
		}
		vu_free(vu);
	}
	/* Within four standard deviations of the weights. */
	assert_true(flows[0] > 1200 - 88 && flows[0] < 1200 + 88);
	assert_true(flows[1] > 400 - 72 && flows[1] < 400 + 72);
	assert_int_equal(flows[0] + flows[1] + flows[2], 2000);
	assert_int_equal(shop.logins, flows[0] + flows[1]);
	assert_int_equal(shop.orders, flows[0]);
	assert_int_equal(shop.wrong_pairs + shop.refused + shop.other, 0);
	assert_true(shop.quantities / flows[0] > 2.8 && shop.quantities / flows[0] < 3.2);
	vu_common_done(&common);
	testplan_free(plan);
}

/* Both parts of a pair are of one row, whatever the passwords. */
static void draws_rows_whole(void **state)
{
	static const char script[] = "config:\n  target: http://h\n  variables:\n    users:\n      - [a, A]\n      - "
	                             "[b, B]\n      - [c, C]\n"
	                             "scenarios:\n  - flow:\n      - get:\n          url: '/{{ $randomItem(users)[0] "
	                             "}}/{{ $randomItem(users)[1] }}'\n"
	                             "      - get:\n          url: '/{{ users[0] }}{{ users[1] }}'\n";
	struct load_options options = { 0 };
	struct testplan *plan;
	struct vu_common common;
	struct err err = { 0 };
	bool seen[3] = { false };

	(void)state;
	assert_int_equal(load_plan_text("x.yml", script, strlen(script), &options, &plan, &err), 0);
	assert_true(vu_common_init(&common, plan, 1, 1));
	for (uint64_t n = 1; n <= 50; n++) {
		struct play p = { 0 };
		struct vu *vu = vu_new(&common, plan->scenarios, n);

		(void)play_iteration(&p, vu, n);
		assert_int_equal(p.log[5] - 'a', p.log[7] - 'A');
		assert_int_equal(p.log[14] - 'a', p.log[15] - 'A');
		seen[p.log[5] - 'a'] = true;
		vu_free(vu);
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	vu_common_done(&common);
	testplan_free(plan);
}

/* ---- the JMeter plan ---- */

static void plays_the_jmeter_plan(void **state)
{
	static const char *const property[] = { "base_url=http://127.0.0.1:8080" };
	struct load_options options = { .values = { .properties = no_values } };
	struct testplan *plan = load_file_of("jmeter-test-plan.jmx", &options);
	const struct testplan_scenario *s = plan->scenarios;
	struct shop shop = { 0 };
	struct play p = { .answer = answer_shop, .context = &shop, .with_headers = true };
	struct vu_common common;
	struct vu *vu;

	(void)state;
	assert_int_equal(plan->scenario_count, 1);
	assert_int_equal(s->executor, TESTPLAN_PER_VU_ITERATIONS);
	assert_int_equal(s->users, 50);
	assert_int_equal(s->iterations, 10);
	assert_true(s->ramp_ns == UINT64_C(300000000000) && s->duration_ns == UINT64_C(1800000000000));
	assert_true(plan->cookies && s->on_error == TESTPLAN_GO_ON);
	assert_string_equal(plan->origins[0].authority, "localhost:3000");
	assert_true(vu_common_init(&common, plan, 1, 1));
	vu = vu_new(&common, s, 1);
	assert_int_equal(play_iteration(&p, vu, 1), VU_ITERATION_OVER);
	assert_string_equal(p.log,
	                    "POST /api/auth/login {\"email\": \"test@example.com\", \"password\": \"password123\"}\n"
	                    "Content-Type: application/json\r\nover\n");
	assert_string_equal(vu_variable(vu, "auth_token"), "tok");
	assert_string_equal(vu_variable(vu, "base_url"), "http://localhost:3000");
	vu_free(vu);
	vu_common_done(&common);
	testplan_free(plan);
	options.values = (struct dialect_values){ .properties = property, .property_count = 1 };
	plan = load_file_of("jmeter-test-plan.jmx", &options);
	assert_string_equal(plan->origins[0].authority, "127.0.0.1:8080");
	testplan_free(plan);
}

#define JMX(inside)                                                                                              \
	"<?xml version='1.0'?><jmeterTestPlan><hashTree><TestPlan testname='p'><elementProp "                    \
	"name='TestPlan.user_defined_variables'>"                                                                \
	"<collectionProp name='Arguments.arguments'><elementProp name='n'><stringProp "                          \
	"name='Argument.name'>n</stringProp>"                                                                    \
	"<stringProp "                                                                                           \
	"name='Argument.value'>2</stringProp></elementProp></collectionProp></elementProp></TestPlan><hashTree>" \
	"<ConfigTestElement guiclass='HttpDefaultsGui'><stringProp name='HTTPSampler.domain'>h</stringProp>"     \
	"<stringProp name='HTTPSampler.port'>81</stringProp></ConfigTestElement><hashTree/>"                     \
	"<ThreadGroup testname='g'><elementProp name='ThreadGroup.main_controller'><stringProp "                 \
	"name='LoopController.loops'>${n}"                                                                       \
	"</stringProp></elementProp><stringProp "                                                                \
	"name='ThreadGroup.num_threads'>1</stringProp></ThreadGroup><hashTree>" inside                           \
	"</hashTree></hashTree></hashTree></jmeterTestPlan>"
#define GET(path) SAMPLER(path, "")
#define SAMPLER(path, tree)                                                               \
	"<HTTPSamplerProxy testname='" path "'><stringProp name='HTTPSampler.path'>" path \
	"</stringProp></HTTPSamplerProxy><hashTree>" tree "</hashTree>"
#define PROP(name, value)                 "<stringProp name='" name "'>" value "</stringProp>"
#define ELEMENT(type, props, tree)        "<" type " testname='" type "'>" props "</" type "><hashTree>" tree "</hashTree>"
#define CONTROL(type, props, inside_tree) ELEMENT(type, props, inside_tree)

static const struct {
	const char *name, *plan, *want; /* of the first and, behind "|", further iterations */
} elements[] = {
	{ "a request", JMX(GET("/a")), "GET /a\nover\n" },
	{ "disabled elements",
	  JMX("<HTTPSamplerProxy enabled='false'>" PROP("HTTPSampler.path",
	                                                "/no") "</HTTPSamplerProxy><hashTree/>" GET("/a")),
	  "GET /a\nover\n" },
	{ "a constant timer for all after and before it",
	  JMX(GET("/a") ELEMENT("ConstantTimer", PROP("ConstantTimer.delay", "300"), "") GET("/b")),
	  "sleep 300\nGET /a\nsleep 300\nGET /b\nover\n" },
	{ "a timer for one sampler",
	  JMX(SAMPLER("/a", ELEMENT("ConstantTimer", PROP("ConstantTimer.delay", "${n}00"), "")) GET("/b")),
	  "sleep 200\nGET /a\nGET /b\nover\n" },
	{ "timers add up",
	  JMX(ELEMENT("ConstantTimer", PROP("ConstantTimer.delay", "100"), "")
	              SAMPLER("/a", ELEMENT("ConstantTimer", PROP("ConstantTimer.delay", "50"), ""))),
	  "sleep 50\nsleep 100\nGET /a\nover\n" },
	{ "a loop", JMX(CONTROL("LoopController", PROP("LoopController.loops", "2"), GET("/a"))),
	  "GET /a\nGET /a\nover\n" },
	{ "an if that holds",
	  JMX(CONTROL("IfController", PROP("IfController.condition", "${__jexl3(\"${n}\" == \"2\",)}"), GET("/a"))),
	  "GET /a\nover\n" },
	{ "an if that does not",
	  JMX(CONTROL("IfController", PROP("IfController.condition", "${__groovy(vars.get(\"n\") != \"2\")}"),
	              GET("/a"))),
	  "over\n" },
	{ "once only", JMX(CONTROL("OnceOnlyController", "", GET("/a")) GET("/b")),
	  "GET /a\nGET /b\nover\n|GET /b\nover\n" },
	{ "a transaction", JMX(CONTROL("TransactionController", "", GET("/a"))),
	  "GET /a\ngroup TransactionController\nover\n" },
	{ "half of the times",
	  JMX(CONTROL("ThroughputController",
	              "<intProp "
	              "name='ThroughputController.style'>1</"
	              "intProp><FloatProperty><name>ThroughputController.percentThroughput</name><value>50.0</value></"
	              "FloatProperty>",
	              GET("/a"))),
	  "over\n|GET /a\nover\n|over\n" },
	{ "interleave", JMX(CONTROL("InterleaveControl", "", GET("/a") GET("/b"))), "GET /a\nover\n|GET /b\nover\n" },
	{ "a switch", JMX(CONTROL("SwitchController", PROP("SwitchController.value", "1"), GET("/a") GET("/b"))),
	  "GET /b\nover\n" },
	{ "a switch by name",
	  JMX(CONTROL("SwitchController", PROP("SwitchController.value", "/a"), GET("/a") GET("/b"))),
	  "GET /a\nover\n" },
	{ "user parameters and a counter",
	  JMX(ELEMENT("CounterConfig",
	              PROP("CounterConfig.name", "c") PROP("CounterConfig.start", "5") PROP("CounterConfig.incr", "2"),
	              "") GET("/${c}")),
	  "GET /5\nover\n|GET /7\nover\n" },
	{ "a random variable",
	  JMX(ELEMENT("RandomVariableConfig",
	              PROP("variableName", "r") PROP("minimumValue", "3") PROP("maximumValue", "3"), "") GET("/${r}")),
	  "GET /3\nover\n" },
	{ "a pause",
	  JMX(ELEMENT("TestAction",
	              "<intProp name='ActionProcessor.action'>1</intProp>" PROP("ActionProcessor.duration", "70"), "")
	              GET("/a")),
	  "sleep 70\nGET /a\nover\n" },
	{ "functions",
	  JMX(GET("/${__P(x,d)}/${__Random(4,4)}/${__intSum(1,2,-5)}/${__V(n)}/${__changeCase(aB,UPPER)}/"
	          "${__time(yyyy)}/${__base64Encode(a)}/${__threadNum}/${__counter(TRUE)}")),
	  "GET /d/4/-2/2/AB/2023/YQ==/1/1\nover\n|GET /d/4/-2/2/AB/2023/YQ==/1/2\nover\n" },
	{ "arguments of a GET",
	  JMX("<HTTPSamplerProxy>" PROP(
	          "HTTPSampler.path",
	          "/a") "<elementProp name='HTTPsampler.Arguments'><collectionProp "
	                "name='Arguments.arguments'><elementProp name='q'><boolProp "
	                "name='HTTPArgument.always_encode'>true</boolProp>" PROP("Argument.name", "q")
	                        PROP("Argument.value", "a b&amp;")
	                                PROP("Argument.metadata", "=") "</elementProp></collectionProp></elementProp></"
	                                                               "HTTPSamplerProxy><hashTree/>"),
	  "GET /a?q=a%20b%26\nover\n" },
	{ "arguments of a POST",
	  JMX("<HTTPSamplerProxy>" PROP("HTTPSampler.method", "POST")
	              PROP("HTTPSampler.path",
	                   "/a") "<elementProp name='HTTPsampler.Arguments'><collectionProp "
	                         "name='Arguments.arguments'><elementProp name='q'><boolProp "
	                         "name='HTTPArgument.always_encode'>true</boolProp>" PROP("Argument.name", "q") PROP(
	                                 "Argument.value", "a b${n}") "</elementProp></collectionProp></elementProp></"
	                                                              "HTTPSamplerProxy><hashTree/>"),
	  "POST /a q=a%20b2\nover\n" },
	{ "an extractor",
	  JMX(SAMPLER("/c", ELEMENT("RegexExtractor",
	                            PROP("RegexExtractor.refname", "v") PROP("RegexExtractor.regex", "id.:(\\d+)")
	                                    PROP("RegexExtractor.template", "<![CDATA[$1$-$1$]]>")
	                                            PROP("RegexExtractor.match_number", "1"),
	                            "")) GET("/${v}")),
	  "GET /c\nGET /7-7\nover\n" },
	{ "each match",
	  JMX(SAMPLER("/c", ELEMENT("JSONPostProcessor",
	                            PROP("JSONPostProcessor.referenceNames", "v")
	                                    PROP("JSONPostProcessor.jsonPathExprs", "$.l[*]")
	                                            PROP("JSONPostProcessor.match_numbers", "-1"),
	                            ""))
	              CONTROL("ForeachController",
	                      PROP("ForeachController.inputVal", "v") PROP("ForeachController.returnVal", "e"),
	                      GET("/${e}"))),
	  "GET /c\nGET /p\nGET /q\nover\n" },
	{ "a boundary",
	  JMX(SAMPLER("/c", ELEMENT("BoundaryExtractor",
	                            PROP("BoundaryExtractor.refname", "v") PROP("BoundaryExtractor.lboundary", "[\"")
	                                    PROP("BoundaryExtractor.rboundary", "\""),
	                            "")) GET("/${v}")),
	  "GET /c\nGET /p\nover\n" },
	{ "a variable that has no value", JMX(GET("/${none}")), "GET /$%7Bnone%7D\nover\n" },
	{ "while",
	  JMX(CONTROL("WhileController", PROP("WhileController.condition", "${__jexl3(${__counter(TRUE,k)} &lt; 3)}"),
	              GET("/${k}"))),
	  "GET /1\nGET /2\nover\n" },
};

static void answer_list(void *context, const struct vu_request *r, struct answer *ret)
{
	(void)context;
	(void)r;
	ret->status = 200;
	ret->body = "{\"id\":7,\"l\":[\"p\",\"q\"]}";
	ret->body_len = strlen(ret->body);
}

static void plays_jmeter_elements(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
		struct load_options options = { .no_files = true };
		struct testplan *plan = NULL;
		struct err err = { 0 };
		struct vu_common common;
		const char *want = elements[i].want;
		struct vu *vu;

		if (load_plan_text("p.jmx", elements[i].plan, strlen(elements[i].plan), &options, &plan, &err) < 0)
			fail_msg("%s: %s", elements[i].name, err.text);
		testplan_check(plan);
		if (plan->note_count)
			fail_msg("%s: %s", elements[i].name, plan->notes[0].text);
		assert_int_equal(plan->scenarios->iterations, 2);
		assert_true(vu_common_init(&common, plan, 1, 1));
		vu = vu_new(&common, plan->scenarios, 1);
		for (uint64_t n = 1; *want; n++) {
			struct play p = { .answer = answer_list };
			size_t len = strcspn(want, "|");
			char part[500];

			(void)snprintf(part, sizeof(part), "%.*s", (int)len, want);
			(void)play_iteration(&p, vu, n);
			T_STR(elements[i].name, p.log, part);
			want += len + (want[len] == '|');
		}
		vu_free(vu);
		vu_common_done(&common);
		testplan_free(plan);
	}
}

/* Assertions fail requests; headers and authorization are the nearest. */
static void asserts_and_sends_headers(void **state)
{
	static const char text[] = JMX(
	        ELEMENT("HeaderManager",
	                "<collectionProp name='HeaderManager.headers'><elementProp name=''>" PROP("Header.name", "A")
	                        PROP("Header.value", "outer") "</elementProp><elementProp name=''>" PROP("Header.name",
	                                                                                                 "B")
	                                PROP("Header.value", "outer") "</elementProp></collectionProp>",
	                "") ELEMENT("AuthManager",
	                            "<collectionProp name='AuthManager.auth_list'><elementProp name=''>" PROP(
	                                    "Authorization.url", "http://h:81/") PROP("Authorization.username", "u")
	                                    PROP("Authorization.password", "p") "</elementProp></collectionProp>",
	                            "")
	                ELEMENT("ResponseAssertion",
	                        "<collectionProp name='Asserion.test_strings'>" PROP("1", "id")
	                                PROP("2", "nope") "</collectionProp>" PROP(
	                                        "Assertion.test_field",
	                                        "Assertion.response_data") "<intProp "
	                                                                   "name='Assertion.test_type'>16</intProp>",
	                        "") SAMPLER("/a", ELEMENT("HeaderManager",
	                                                  "<collectionProp name='HeaderManager.headers'><elementProp "
	                                                  "name=''>" PROP("Header.name", "a")
	                                                          PROP("Header.value",
	                                                               "inner") "</elementProp></collectionProp>",
	                                                  "") ELEMENT("DurationAssertion",
	                                                              PROP("DurationAssertion.duration", "1000"), "")));
	struct load_options options = { .no_files = true };
	struct play p = { .answer = answer_list, .with_headers = true };
	struct testplan *plan;
	struct vu_common common;
	struct err err = { 0 };
	struct vu *vu;

	(void)state;
	if (load_plan_text("p.jmx", text, strlen(text), &options, &plan, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(vu_common_init(&common, plan, 1, 1));
	vu = vu_new(&common, plan->scenarios, 1);
	(void)play_iteration(&p, vu, 1);
	assert_string_equal(p.log, "GET /a\na: inner\r\nB: outer\r\nAuthorization: Basic dTpw\r\nover\n");
	assert_int_equal(p.checks_held, 1);
	assert_int_equal(p.checks_failed, 1);
	assert_int_equal(p.answered_failed, 1);
	vu_free(vu);
	vu_common_done(&common);
	testplan_free(plan);
}

/* ---- refusals and warnings ---- */

static const struct {
	const char *name, *text, *want; /* a part of the sentence */
} refusals[] = {
	{ "no plan", "just words", "p:1: this is no plan" },
	{ "empty", "", "p:1: the file is empty" },
	{ "JSON, cut", "{\"scenarios\":\n{", "p:2: " },
	{ "JSON, a comma too many", "{\"scenarios\":{},\n}", "p:2: expected a name in double quotes" },
	{ "JSON, the same twice", "{\"a\":1,\n\"a\":2}", "p:2: 'a' stands there twice" },
	{ "YAML, bad indentation", "config:\n  target: x\n phases: 1\n", "p:3: " },
	{ "YAML, an alias of nothing", "config: *x\n", "p:1: there is no anchor 'x'" },
	{ "YAML, an alias in itself", "config: &x [*x]\n", "p:1: an alias inside its own anchor" },
	{ "XML, not well formed", "<?xml version='1.0'?>\n<jmeterTestPlan>\n<a></b>", "p:3: mismatched tag" },
	{ "XML, entities", "<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY b 'c'>]>\n<jmeterTestPlan/>",
	  "p:2: a document type" },
	{ "JMeter, nothing in it", "<?xml version='1.0'?><jmeterTestPlan/>", "p:1: there is no TestPlan" },
	{ "JMeter, a bad regex",
	  JMX(SAMPLER("/c", ELEMENT("RegexExtractor",
	                            PROP("RegexExtractor.refname", "v") PROP("RegexExtractor.regex", "("), ""))),
	  "regular expression" },
	{ "JMeter, users that vary",
	  "<?xml version='1.0'?><jmeterTestPlan><hashTree><TestPlan/><hashTree><ThreadGroup>" PROP(
	          "ThreadGroup.num_threads",
	          "${x}") "</ThreadGroup><hashTree>" GET("http://h/") "</hashTree></hashTree></hashTree></"
	                                                              "jmeterTestPlan>",
	  "must be known before the run" },
	{ "Artillery, no scenario", "config: {target: 'http://h'}\n", "p:1: there are no scenarios" },
	{ "Artillery, a bad phase",
	  "config:\n  target: http://h\n  phases:\n    - duration: x\nscenarios:\n  - flow: []\n",
	  "p:4: a phase's duration is a duration, not 'x'" },
	{ "Artillery, no URL", "config: {target: 'http://h'}\nscenarios:\n  - flow:\n      - get: {name: x}\n",
	  "p:4: a request needs a URL" },
	{ "own, unknown key", "{\"scenarios\":{\"s\":{\"flow\":[],\n\"foo\":1}}}",
	  "p:2: a per-vu-iterations scenario has no 'foo'" },
	{ "own, unknown step", "{\"scenarios\":{\"s\":{\"flow\":[\n{\"foo\":1}]}}}", "p:2: there is no step 'foo'" },
	{ "own, a field of another executor",
	  "{\"scenarios\":{\"s\":{\"executor\":\"constant-vus\",\"flow\":[],\"rate\":1}}}", "has no 'rate'" },
	{ "own, without a target", "{\"scenarios\":{\"s\":{\"flow\":[{\"get\":\"/\"}]}}}", "the plan has no target" },
	{ "own, a bad path",
	  "{\"defaults\":{\"baseUrl\":\"http://h\"},\"scenarios\":{\"s\":{\"flow\":[{\"get\":{\"url\":\"/"
	  "\",\"capture\":{\"json\":\"$[\",\"as\":\"x\"}}}]}}}",
	  "JSONPath" },
	{ "own, a header that is none",
	  "{\"defaults\":{\"baseUrl\":\"http://h\"},\"scenarios\":{\"s\":{\"flow\":[{\"get\":{\"url\":\"/"
	  "\",\"headers\":{\"a\\r\\nb\":\"c\"}}}]}}}",
	  "headers are names with texts" },
	{ "a k6 script", "import http from 'k6/http';\nexport default function () {}", "k6 scripts are not built yet" },
	{ "files that are not to be read",
	  "{\"defaults\":{\"baseUrl\":\"http://h\"},\"feeders\":{\"f\":{\"file\":\"/etc/"
	  "passwd\"}},\"scenarios\":{\"s\":{\"flow\":[]}}}",
	  "is not read" },
};

static void refuses_with_line_and_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct load_options options = { .no_files = true };
		struct testplan *plan = NULL;
		struct err err = { 0 };
		int rc = load_plan_text("p", refusals[i].text, strlen(refusals[i].text), &options, &plan, &err);

		T_CHECK(refusals[i].name, rc < 0 && plan == NULL);
		if (!strstr(err.text, refusals[i].want))
			fail_msg("%s: '%s' lacks '%s'", refusals[i].name, err.text, refusals[i].want);
	}
}

/* A bomb of aliases stands for 10^9 values: refused, at once. */
static void refuses_bombs(void **state)
{
	struct load_options options = { .no_files = true };
	struct testplan *plan = NULL;
	struct err err = { 0 };
	char text[4000];
	size_t n = 0;

	(void)state;
	n += (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		                      "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
		                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_true(load_plan_text("p", text, n, &options, &plan, &err) < 0);
	assert_non_null(strstr(err.text, "too many values"));
}

static void warns_by_name_and_line(void **state)
{
	static const struct {
		const char *text, *want;
		uint32_t line;
	} rows[] = {
		{ "config:\n  target: http://h\n  foo: 1\nscenarios:\n  - flow:\n      - get: {url: /}\n",
		  "'foo' of 'config'", 3 },
		{ "config:\n  target: http://h\nscenarios:\n  - flow:\n      - emit: {x: 1}\n      - get: {url: /}\n",
		  "the step 'emit'", 5 },
		{ JMX("\n<JSR223Sampler testname='js'/><hashTree/>" GET("/")), "the element 'JSR223Sampler' ('js')",
		  2 },
		{ JMX("\n" GET("/${__foo(1)}")), "${__foo(1)}", 2 },
		{ JMX("\n" CONTROL("IfController", PROP("IfController.condition", "${__groovy(new Date() == 3)}"),
		                   GET("/a"))),
		  "is not understood", 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct load_options options = { .no_files = true };
		struct testplan *plan = NULL;
		struct err err = { 0 };
		bool found = false;

		if (load_plan_text("p", rows[i].text, strlen(rows[i].text), &options, &plan, &err) < 0)
			fail_msg("%s: %s", rows[i].want, err.text);
		for (size_t j = 0; j < plan->note_count; j++)
			found = found ||
			        (plan->notes[j].line == rows[i].line && strstr(plan->notes[j].text, rows[i].want));
		T_CHECK(rows[i].want, found);
		testplan_free(plan);
	}
}

/* Every prefix of a plan that is good: refused or loaded, never worse. */
static void survives_cut_plans(void **state)
{
	static const char *const names[] = { "jmeter-test-plan.jmx", "artillery-config.yml" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[4096], text[16384];
		FILE *in;
		size_t len;

		(void)snprintf(path, sizeof(path), "%s/%s", PLANS, names[i]);
		in = fopen(path, "r");
		assert_non_null(in);
		len = fread(text, 1, sizeof(text), in);
		(void)fclose(in);
		for (size_t n = 0; n < len; n += 7) {
			struct load_options options = { .no_files = true };
			struct t_guarded g = t_guarded_new(text, n);
			struct testplan *plan = NULL;
			struct err err = { 0 };

			if (load_plan_text("p", (const char *)g.data, n, &options, &plan, &err) == 0)
				testplan_check(plan);
			else
				assert_true(err.text[0] != '\0');
			testplan_free(plan);
			t_guarded_free(&g);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plays_the_artillery_script),
		cmocka_unit_test(draws_rows_whole),
		cmocka_unit_test(plays_the_jmeter_plan),
		cmocka_unit_test(plays_jmeter_elements),
		cmocka_unit_test(asserts_and_sends_headers),
		cmocka_unit_test(refuses_with_line_and_reason),
		cmocka_unit_test(refuses_bombs),
		cmocka_unit_test(warns_by_name_and_line),
		cmocka_unit_test(survives_cut_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of metrics_page.c and of what requests.c counts for it: exact at every bound, complete with all routes there can be, and what is
 * not recorded is not there. */
#include "t.h"

#include <stdio.h>

#include "dump.h"
#include "losses.h"
#include "metrics_page.h"
#include "os_linux.h"
#include "recorder.h"
#include "requests.h"
#include "start.h"
#include "state.h"
#include "units.h"

static char page[METRICS_PAGE_BYTES + 1];

static int begin(void **state)
{
	struct config *c = start_config_to_change();

	(void)state;
	config_parse(c, NULL);
	dump_init(c);
	requests_init(c);
	requests_fork_prepare();
	requests_fork_child(); /* empties all */
	metrics_page_fork_child();
	losses_reset();
	store_release(&state_now, STATE_RUNNING);
	return 0;
}

static const char *get(bool otel, bool openmetrics)
{
	size_t n = metrics_page(page, sizeof(page) - 1, otel, openmetrics);

	assert_true(n > 0);
	page[n] = '\0';
	assert_int_equal(strlen(page), n);
	return page;
}

/* The line of that sample, or NULL. */
static const char *line_of(const char *text, const char *sample)
{
	static char line[512];
	char start[400];
	const char *at;

	(void)snprintf(start, sizeof(start), "\n%s ", sample);
	at = strstr(text, start);
	if (!at)
		return NULL;
	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at + strlen(start), "\n"), at + strlen(start));
	return line;
}

static void has(const char *text, const char *sample, const char *value)
{
	const char *line = line_of(text, sample);

	if (!line)
		fail_msg("there is no %s", sample);
	T_STR(sample, line, value);
}

static void request(const char *target, enum http_method method, uint16_t status, uint64_t ns)
{
	uint32_t i = requests_begin(NULL, NS_PER_S);

	assert_true(i);
	requests_line(i, method, target, strlen(target), false);
	requests_went(i, 0, status);
	requests_done(i, NULL, NS_PER_S + ns);
}

static void durations_are_exact_at_every_bound(void **state)
{
	uint64_t sum = 0;
	const char *text;
	char sample[200], want[24];

	(void)state;
	for (unsigned i = 0; i < DURATION_BOUNDS; i++) {
		assert_true(!i || duration_bound_ns[i] > duration_bound_ns[i - 1]);
		request("/a", HTTP_GET, 200, duration_bound_ns[i]);     /* in it: le is "not above" */
		request("/a", HTTP_GET, 200, duration_bound_ns[i] + 1); /* in the next */
		sum += 2 * duration_bound_ns[i] + 1;
	}
	text = get(false, false);
	for (unsigned i = 0; i < DURATION_BOUNDS; i++) {
		uint64_t ms10 = duration_bound_ns[i] / (NS_PER_MS / 10);
		char le[24];

		(void)snprintf(le, sizeof(le), "%u.%04u", (unsigned)(ms10 / 10000), (unsigned)(ms10 % 10000));
		while (le[strlen(le) - 1] == '0' && le[strlen(le) - 2] != '.')
			le[strlen(le) - 1] = '\0';
		(void)snprintf(
		        sample, sizeof(sample),
		        "http_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",status=\"200\",le=\"%s\"}",
		        le);
		(void)snprintf(want, sizeof(want), "%u", 2 * i + 1);
		has(text, sample, want);
	}
	has(text, "http_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",status=\"200\",le=\"+Inf\"}", "32");
	has(text, "http_request_duration_seconds_count{method=\"GET\",route=\"/a\",status=\"200\"}", "32");
	has(text, "http_requests_total{method=\"GET\",route=\"/a\",status=\"200\"}", "32");
	(void)snprintf(want, sizeof(want), "%.9f", (double)sum / 1e9);
	has(text, "http_request_duration_seconds_sum{method=\"GET\",route=\"/a\",status=\"200\"}", want);
	has(text, "http_requests_slow_total",
	    "9"); /* above 1 s: its successor, and two each of the four bounds above */
}

static void opentelemetry_has_its_own_bounds(void **state)
{
#define OTEL "{http_request_method=\"PUT\",http_route=\"/a/*\",http_response_status_code=\"404\",url_scheme=\"http\""
	const char *text;

	(void)state;
	request("/a/17?q=secret", HTTP_PUT, 404, NS_PER_MS);
	request("/a/18", HTTP_PUT, 404, 6 * NS_PER_MS);
	text = get(true, true);
	has(text, "http_server_request_duration_seconds_bucket" OTEL ",le=\"0.005\"}", "1");
	has(text, "http_server_request_duration_seconds_bucket" OTEL ",le=\"0.01\"}", "2");
	has(text, "http_server_request_duration_seconds_count" OTEL "}", "2");
	assert_null(strstr(text, "le=\"0.001\""));
	assert_null(strstr(text, "le=\"0.0025\""));
	assert_null(strstr(text, "http_requests_total"));
	assert_null(strstr(text, "secret"));
	T_STR("end", text + strlen(text) - 6, "# EOF\n");
}

/* Each as long as can be, and escaped throughout. */
static void all_routes_there_can_be(void **state)
{
	uint64_t sum = 0, lines = 0;
	const char *text;

	(void)state;
	for (unsigned i = 0; i < 600; i++) {
		char target[REQUEST_PATH_BYTES + 1];

		memset(target, '"', sizeof(target) - 1);
		target[REQUEST_PATH_BYTES] = '\0';
		target[0] = target[32] = '/';
		target[1] = (char)('a' + i % 26);
		target[2] = (char)('a' + i / 26);
		request(target, HTTP_MKCALENDAR, (uint16_t)(200 + i % 300), 1);
	}
	text = get(true, false);
	for (const char *at = text; (at = strstr(at, "\nhttp_server_request_duration_seconds_count{")) != NULL;
	     lines++) {
		at = strstr(at, "} ") + 2;
		sum += strtoull(at, NULL, 10);
	}
	assert_int_equal(sum, 600);
	assert_true(lines > REQUESTS_ROUTES / 2 && lines <= REQUESTS_ROUTES);
	assert_true(strlen(text) < METRICS_PAGE_BYTES / 4 * 3);
	assert_non_null(strstr(text, "http_route=\"_OTHER\""));
	assert_non_null(strstr(text, "\\\"\\\"\\\""));
	assert_true(strtoull(line_of(text, "perfprobe_lost_total{cause=\"http.routes_folded\"}"), NULL, 10) > 0);
	assert_true(strlen(get(false, true)) < METRICS_PAGE_BYTES / 4 * 3);
	assert_int_equal(metrics_page(page, 1000, false, false), 0); /* where it does not fit there is none */
}

static void what_is_counted_and_not_timed(void **state)
{
	const char *text;

	(void)state;
	assert_null(strstr(get(false, false), "_UNTIMED"));
	requests_done_unseen();
	requests_done_unseen();
	text = get(false, false);
	has(text, "http_requests_total{method=\"_OTHER\",route=\"_UNTIMED\",status=\"0\"}", "2");
	has(text, "perfprobe_scrapes_total", "2");
}

static void what_is_not_recorded_is_not_there(void **state)
{
	struct config *c = start_config_to_change();
	enum config_heap mode = recorder_mode;
	const char *text;

	(void)state;
	request("/a", HTTP_GET, 200, 1);
	c->http = 0;
	c->latency = 0;
	recorder_mode = HEAP_OFF;
	text = get(false, false);
	assert_null(strstr(text, "\nhttp_"));
	assert_null(strstr(text, "active_connections"));
	assert_null(strstr(text, "perfprobe_heap_"));
	assert_null(strstr(text, "type=\"heap\""));
	assert_null(strstr(text, "perfprobe_leak"));
	assert_null(strstr(text, "database_query"));
	c->http = 1;
	recorder_mode = HEAP_FULL;
	text = get(false, false);
	assert_non_null(strstr(text, "\nhttp_requests_total{"));
	assert_null(strstr(text, "http_requests_slow_total"));
	assert_non_null(strstr(text, "\nperfprobe_heap_live_bytes "));
	recorder_mode = mode;
}

/* proc_pid_stat(5); an emulator's has a zero there. */
static unsigned threads_of_this_process(void)
{
	char text[1024];
	const char *at;
	ssize_t n = os_read_file("/proc/self/stat", text, sizeof(text));

	assert_true(n > 0);
	at = strrchr(text, ')');
	for (unsigned field = 2; at && field < 20; field++)
		at = strchr(at + 1, ' ');
	assert_non_null(at);
	return (unsigned)strtoul(at, NULL, 10);
}

static void the_process_is_this_one(void **state)
{
	const char *text = get(false, false);
	char want[64], threads[24];
	double start, now = (double)os_wall_ns() / 1e9;

	(void)state;
	(void)snprintf(want, sizeof(want), ",pid=\"%d\",", (int)getpid());
	assert_non_null(strstr(text, want));
	(void)snprintf(threads, sizeof(threads), "%u", threads_of_this_process());
	has(text, "process_threads", threads);
	start = strtod(line_of(text, "process_start_time_seconds"), NULL);
	assert_true(start > now - 100 && start <= now + 0.02); /* a tick is 10 ms */
	assert_true(strtod(line_of(text, "process_cpu_seconds_total"), NULL) > 0);
	assert_true(strtoull(line_of(text, "process_open_fds"), NULL, 10) >= 3);
	assert_true(strtoull(line_of(text, "process_resident_memory_bytes"), NULL, 10) > 1 << 20);
	has(text, "perfprobe_recording", "1");
	for (unsigned i = 0; i < LOSS_COUNT; i++) {
		(void)snprintf(want, sizeof(want), "perfprobe_lost_total{cause=\"%s\"}", loss_name((enum loss)i));
		has(text, want, "0");
	}
	loss_add(LOSS_HTTP_H2, 3);
	has(get(false, false), "perfprobe_lost_total{cause=\"http.http2\"}", "3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(durations_are_exact_at_every_bound, begin),
		cmocka_unit_test_setup(opentelemetry_has_its_own_bounds, begin),
		cmocka_unit_test_setup(all_routes_there_can_be, begin),
		cmocka_unit_test_setup(what_is_counted_and_not_timed, begin),
		cmocka_unit_test_setup(what_is_not_recorded_is_not_there, begin),
		cmocka_unit_test_setup(the_process_is_this_one, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * out_rows.c - one request, a line (JTL) or a line for each of its metrics (k6's CSV and NDJSON).
 *
 * A phase that a request did not have is 0, as k6 has it; a request without a response has no times at all. http_req_looking_up is
 * left out: k6 has no such points.
 */
#include "out_rows.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "failure.h"
#include "json_write.h"
#include "metrics.h"
#include "outcome.h"
#include "request_log.h"
#include "units.h"

static const char *tag(const struct out_rows *o, const char *key)
{
	const char *value = o->endpoint ? series_tag_value(o->endpoint, key) : NULL;

	return value ? value : "";
}

static bool has(const struct request_row *row, enum metrics_trend trend)
{
	return row->request.present >> trend & 1;
}

static double ms(const struct request_row *row, enum metrics_trend trend)
{
	return has(row, trend) ? (double)row->request.ns[trend] / 1e6 : 0;
}

/* In a closed model the response time is the duration. */
static double point(const struct request_row *row, enum metrics_trend trend)
{
	return trend == TREND_RESPONSE_TIME && !has(row, trend) ? ms(row, TREND_DURATION) : ms(row, trend);
}

/* When the request was over. */
static uint64_t end_wall_ns(const struct out_rows *o, const struct request_row *row)
{
	return o->start_wall_ns + row->start_ns + (has(row, TREND_CONNECTING) ? row->request.ns[TREND_CONNECTING] : 0) +
	       (has(row, TREND_DURATION) ? row->request.ns[TREND_DURATION] : 0);
}

/* RFC 4180; what a spreadsheet would take for a formula stays what it is. */
static void csv_text(struct buf *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		buf_add_str(out, text);
		return;
	}
	buf_add_char(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			buf_add_char(out, '"');
		buf_add_char(out, *text);
	}
	buf_add_char(out, '"');
}

void out_csv_head(struct buf *out)
{
	buf_add_str(
	        out,
	        "metric_name,timestamp,metric_value,check,error,error_code,expected_response,group,method,name,proto,"
	        "scenario,service,status,subproto,tls_version,url,extra_tags,metadata\n");
}

static void csv_point(struct buf *out, const struct out_rows *o, const struct request_row *row, const char *metric,
                      double value)
{
	uint32_t outcome = row->request.outcome;
	unsigned code = outcome_error_code(outcome);
	char number[16] = "";

	buf_printf(out, "%s,%llu,%.6f,,", metric, (unsigned long long)(end_wall_ns(o, row) / NS_PER_S), value);
	buf_add_str(out, outcome_error(outcome));
	if (code)
		(void)snprintf(number, sizeof(number), "%u", code);
	buf_printf(out, ",%s,%s,", number, outcome_is_expected(outcome) ? "true" : "false");
	csv_text(out, tag(o, "group"));
	buf_add_char(out, ',');
	csv_text(out, tag(o, "method"));
	buf_add_char(out, ',');
	csv_text(out, tag(o, "name"));
	buf_add_char(out, ',');
	csv_text(out, tag(o, "proto"));
	buf_add_char(out, ',');
	csv_text(out, tag(o, "scenario"));
	buf_printf(out, ",,%u,,,", outcome_status(outcome));
	csv_text(out, tag(o, "url"));
	buf_add_str(out, ",,\n");
}

void out_csv_row(struct buf *out, const struct out_rows *o, const struct request_row *row)
{
	csv_point(out, o, row, "http_reqs", 1);
	csv_point(out, o, row, "http_req_failed", outcome_is_expected(row->request.outcome) ? 0 : 1);
	for (enum metrics_trend i = 0; i < TREND_COUNT && has(row, TREND_DURATION); i++)
		if (i != TREND_DNS)
			csv_point(out, o, row, metrics_trend_key(i), point(row, i));
}

static void ndjson_metric(struct buf *out, const char *name, const char *type, const char *contains)
{
	buf_printf(
	        out,
	        "{\"type\":\"Metric\",\"data\":{\"name\":\"%s\",\"type\":\"%s\",\"contains\":\"%s\",\"thresholds\":[],"
	        "\"submetrics\":null},\"metric\":\"%s\"}\n",
	        name, type, contains, name);
}

void out_ndjson_head(struct buf *out)
{
	ndjson_metric(out, "http_reqs", "counter", "default");
	ndjson_metric(out, "http_req_failed", "rate", "default");
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		if (i != TREND_DNS)
			ndjson_metric(out, metrics_trend_key(i), "trend", "time");
}

static void ndjson_time(struct json *j, uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;
	char text[64], day[40];

	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return;
	(void)snprintf(text, sizeof(text), "%s.%09uZ", day, (unsigned)(wall_ns % NS_PER_S));
	json_key_string(j, "time", text);
}

static void ndjson_tags(struct json *j, const struct out_rows *o, uint32_t outcome)
{
	unsigned code = outcome_error_code(outcome);
	char number[16];

	json_key(j, "tags");
	json_object_begin(j);
	for (uint32_t i = 0; o->endpoint && i < o->endpoint->tag_count; i++)
		json_key_string(j, o->endpoint->tags[i].key, o->endpoint->tags[i].value);
	(void)snprintf(number, sizeof(number), "%u", outcome_status(outcome));
	json_key_string(j, "status", number);
	json_key_string(j, "expected_response", outcome_is_expected(outcome) ? "true" : "false");
	if (*outcome_error(outcome))
		json_key_string(j, "error", outcome_error(outcome));
	if (code) {
		(void)snprintf(number, sizeof(number), "%u", code);
		json_key_string(j, "error_code", number);
	}
	json_object_end(j);
}

static void ndjson_point(struct buf *out, const struct out_rows *o, const struct request_row *row, const char *metric,
                         double value)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "metric", metric);
	json_key_string(&j, "type", "Point");
	json_key(&j, "data");
	json_object_begin(&j);
	ndjson_time(&j, end_wall_ns(o, row));
	json_key_double(&j, "value", value);
	ndjson_tags(&j, o, row->request.outcome);
	json_object_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}

void out_ndjson_row(struct buf *out, const struct out_rows *o, const struct request_row *row)
{
	ndjson_point(out, o, row, "http_reqs", 1);
	ndjson_point(out, o, row, "http_req_failed", outcome_is_expected(row->request.outcome) ? 0 : 1);
	for (enum metrics_trend i = 0; i < TREND_COUNT && has(row, TREND_DURATION); i++)
		if (i != TREND_DNS)
			ndjson_point(out, o, row, metrics_trend_key(i), point(row, i));
}

void out_jtl_head(struct buf *out)
{
	buf_add_str(
	        out,
	        "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,"
	        "sentBytes,grpThreads,allThreads,URL,Latency,IdleTime,Connect\n");
}

static unsigned long long whole_ms(double value)
{
	return (unsigned long long)(value + 0.5);
}

/* JMeter's elapsed and Latency include connecting. */
void out_jtl_row(struct buf *out, const struct out_rows *o, const struct request_row *row)
{
	uint32_t outcome = row->request.outcome;
	double connect = ms(row, TREND_CONNECTING) + ms(row, TREND_DNS) + ms(row, TREND_TLS);
	unsigned long long vus = (unsigned long long)o->vus;

	buf_printf(out, "%llu,%llu,", (unsigned long long)((o->start_wall_ns + row->start_ns) / NS_PER_MS),
	           whole_ms(connect + ms(row, TREND_DURATION)));
	csv_text(out, tag(o, "name"));
	if (outcome_status(outcome))
		buf_printf(out, ",%u,", outcome_status(outcome));
	else
		buf_printf(out, ",Non HTTP response code: %s,", outcome_error(outcome));
	buf_printf(out, ",probe-load %u-%u,%s,%s,", o->worker + 1, row->connection + 1,
	           outcome_status(outcome) ? "text" : "", outcome_is_expected(outcome) ? "true" : "false");
	if (outcome >= TALLY_FAILURE && outcome < TALLY_OTHER)
		csv_text(out, failure_text(outcome - TALLY_FAILURE));
	buf_printf(out, ",%llu,%llu,%llu,%llu,", (unsigned long long)row->body_bytes,
	           (unsigned long long)o->request_bytes, vus, vus);
	csv_text(out, tag(o, "url"));
	buf_printf(out, ",%llu,0,%llu\n",
	           has(row, TREND_WAITING) ? whole_ms(connect + ms(row, TREND_SENDING) + ms(row, TREND_WAITING)) : 0,
	           whole_ms(connect));
}

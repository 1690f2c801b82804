/*
 * html.c - the page around the data: style, markup without content, scripts.
 *
 * Whatever comes from a file is in one element that no browser runs, as JSON in which '<', '>' and '&' are written \u00xx: those
 * occur in JSON only inside strings, so nothing there can end the element. A policy in the page forbids every request but to the
 * server that it came from (and even that when it is a file), and scripts other than those that were built in.
 */
#include "html.h"

#include <string.h>

#include "clean_text.h"
#include "embedded.h"
#include "json_write.h"

static void add_data(const struct buf *json, struct buf *out)
{
	size_t from = 0;

	for (size_t i = 0; i < json->len; i++) {
		char c = json->data[i];

		if (c != '<' && c != '>' && c != '&')
			continue;
		buf_add(out, json->data + from, i - from);
		buf_printf(out, "\\u%04x", (unsigned)c);
		from = i + 1;
	}
	if (json->len)
		buf_add(out, json->data + from, json->len - from);
}

static void add_script(struct buf *out)
{
	buf_add_str(out, "<script>\n\"use strict\";\n");
	buf_add(out, embedded_page_data_js, embedded_page_data_js_len);
	buf_add(out, embedded_page_words_js, embedded_page_words_js_len);
	buf_add(out, embedded_page_flame_js, embedded_page_flame_js_len);
	buf_add(out, embedded_page_time_js, embedded_page_time_js_len);
	buf_add(out, embedded_page_table_js, embedded_page_table_js_len);
	buf_add(out, embedded_page_panels_js, embedded_page_panels_js_len);
	buf_add(out, embedded_page_js, embedded_page_js_len);
	buf_add(out, embedded_page_live_js, embedded_page_live_js_len);
	buf_add_str(out, "</script>\n");
}

void html_page(const struct html_options *options, const struct buf *recordings, struct buf *out)
{
	struct buf json = { 0 };

	buf_printf(&json,
	           "{\"format\":1,\"live\":%s,\"diff\":%s,\"metric\":\"%s\",\"normalize\":\"%s\",\"recordings\":[",
	           options->live ? "true" : "false", options->diff ? "true" : "false",
	           options->metric ? options->metric : "", options->normalize ? options->normalize : "none");
	if (recordings->len)
		buf_add(&json, recordings->data, recordings->len);
	buf_add_str(&json, "]}");
	buf_add_str(
	        out,
	        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
	        "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action "
	        "'none'\">\n"
	        "<link rel=\"icon\" href=\"data:,\">\n<title>");
	clean_xml(out, options->title, 0);
	buf_add_str(out, "</title>\n<style>\n");
	buf_add(out, embedded_page_css, embedded_page_css_len);
	buf_add_str(out, "</style>\n</head>\n<body>\n<main id=\"page\"></main>\n"
	                 "<noscript>This page draws its tables and pictures with a script; allow it, or use "
	                 "probe-analyze report.</noscript>\n<script id=\"data\" type=\"application/json\">");
	add_data(&json, out);
	buf_add_str(out, "</script>\n");
	add_script(out);
	buf_add_str(out, "</body>\n</html>\n");
	if (json.failed || recordings->failed)
		out->failed = true;
	buf_done(&json);
}

/*
 * push.c - three ways to say the same.
 *
 * - Pyroscope's /ingest: a form with the profile and what its columns are; name and labels stand in the query, "shop{zone=a}".
 * - Pyroscope's push.v1 (Connect): JSON, the profile in base64, labels as Prometheus has them.
 * - Parca's ProfileStore: gRPC. As gRPC-Web it needs no HTTP/2, and Parca's own server takes that at the same port.
 */
#include "push.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "clean_text.h"
#include "json_write.h"
#include "units.h"

static const struct {
	const char *name, *path, *type;
} forms[] = {
#define PUSH_FORM_ROW(id, name, path, type) { name, path, type },
	PUSH_FORMS(PUSH_FORM_ROW)
#undef PUSH_FORM_ROW
};

const char *push_content_type(enum push_form form)
{
	return forms[form].type;
}

int push_form_parse(const char *name, enum push_form *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (strcmp(forms[i].name, name) == 0) {
			*ret = (enum push_form)i;
			return 0;
		}
	return cli_check_choice("--to", PUSH_FORM_VALUE, name, err);
}

int push_add_label(struct push *p, char *text, struct err *err)
{
	char *equals = strchr(text, '=');
	bool good = equals && equals > text && !isdigit((unsigned char)text[0]);

	for (const char *c = text; good && c < equals; c++)
		good = isalnum((unsigned char)*c) || *c == '_';
	if (!good)
		return err_set(err, -EINVAL, "--label takes name=value, the name of letters, digits and _, not '%s'",
		               text);
	if (p->label_count == PUSH_LABELS)
		return err_set(err, -EINVAL, "more than %d labels", PUSH_LABELS);
	*equals = '\0';
	if (strncmp(text, "__", 2) == 0 || strcmp(text, "service_name") == 0)
		return err_set(err, -EINVAL, "the label %s is made from --name and the metric", text);
	for (size_t i = 0; i < p->label_count; i++)
		if (strcmp(p->labels[i].name, text) == 0)
			return err_set(err, -EINVAL, "the label %s is given twice", text);
	p->labels[p->label_count++] = (struct push_label){ text, equals + 1 };
	return 0;
}

static bool is_loopback(const char *host, size_t len)
{
	static const char *const names[] = { "localhost", "[::1]" };
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (len == strlen(names[i]) && memcmp(host, names[i], len) == 0)
			return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

int push_check_server(const char *server, bool *ret_plain, struct err *err)
{
	bool plain = strncmp(server, "http://", 7) == 0;
	const char *host = server + (plain ? 7 : 8);
	size_t len, name;

	if (!plain && strncmp(server, "https://", 8) != 0)
		return err_set(err, -EINVAL, "push sends to http://HOST:PORT or https://HOST:PORT, not '%s'", server);
	len = strcspn(host, "/?#");
	if (len == 0)
		return err_set(err, -EINVAL, "'%s' names no server", server);
	if (memchr(host, '@', len))
		return err_set(
		        err, -EINVAL,
		        "no name and password in the address, where ps shows them: PROBE_PUSH_TOKEN or --token-file");
	if (host[len + strcspn(host + len, "?#")])
		return err_set(err, -EINVAL, "'%s': the address ends before ? and #", server);
	for (const char *c = server; *c; c++)
		if (*c <= ' ' || *c == 0x7f)
			return err_set(err, -EINVAL, "there is a blank or a control character in the server's address");
	name = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	*ret_plain = plain && !is_loopback(host, name < len ? name : len);
	return 0;
}

/* ---- pieces ---- */

static void add_url_text(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			buf_add_char(out, *text);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}

static void add_base64(struct buf *out, const uint8_t *data, size_t bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < bytes; i += 3) {
		uint32_t three = (uint32_t)data[i] << 16 | (i + 1 < bytes ? (uint32_t)data[i + 1] << 8 : 0) |
		                 (i + 2 < bytes ? data[i + 2] : 0);
		char four[4] = { digits[three >> 18], digits[three >> 12 & 63], digits[three >> 6 & 63],
			         digits[three & 63] };

		if (i + 2 >= bytes)
			four[3] = '=';
		if (i + 1 >= bytes)
			four[2] = '=';
		buf_add(out, four, sizeof(four));
	}
}

/* RFC 9562, version 4. */
static void add_uuid(struct buf *out, const uint8_t id[16])
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte = i == 6 ? (id[i] & 0x0f) | 0x40 : i == 8 ? (id[i] & 0x3f) | 0x80 : id[i];

		buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
	}
}

static bool is_bytes(const struct export_pprof_column *c)
{
	return strcmp(c->unit, "bytes") == 0;
}

/* What is alive is averaged over time, what was used or allocated is added up. */
static bool is_level(const struct export_pprof_column *c)
{
	return strncmp(c->type, "inuse_", 6) == 0 || strncmp(c->type, "peak_", 5) == 0 ||
	       strcmp(c->type, "mmap") == 0 || strcmp(c->type, "slop") == 0 || strcmp(c->type, "leaked") == 0;
}

/* ---- Pyroscope's form ---- */

static void add_part(struct buf *out, const char *name, const char *type)
{
	buf_printf(out,
	           "--" PUSH_BOUNDARY
	           "\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n",
	           name, name, type);
}

static void add_columns(struct buf *out, const struct push *p)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	for (size_t i = 0; i < p->column_count; i++) {
		const struct export_pprof_column *c = &p->columns[i];
		bool time = strcmp(c->unit, "nanoseconds") == 0 || strcmp(c->type, "samples") == 0;

		json_key(&j, c->type);
		json_object_begin(&j);
		json_key_string(&j, "units", is_bytes(c) ? "bytes" : time ? "samples" : "objects");
		json_key_string(&j, "aggregation", is_level(c) ? "average" : "sum");
		json_key_string(&j, "display-name", c->type);
		json_key_bool(&j, "sampled", time);
		json_object_end(&j);
	}
	json_object_end(&j);
}

static int build_ingest(const struct push *p, struct buf *url, struct buf *body, struct err *err)
{
	struct buf name = { 0 };

	buf_add_str(&name, p->service);
	buf_add_char(&name, '{');
	for (size_t i = 0; i < p->label_count; i++) {
		if (p->labels[i].value[strcspn(p->labels[i].value, ",={}\"")]) {
			buf_done(&name);
			return err_set(
			        err, -EINVAL,
			        "--to pyroscope cannot have , = { } or \" in a label's value: --to pyroscope-push can");
		}
		buf_printf(&name, "%s%s=%s", i ? "," : "", p->labels[i].name, p->labels[i].value);
	}
	buf_add_char(&name, '}');
	buf_add_str(url, "?name=");
	add_url_text(url, name.data ? name.data : "");
	buf_printf(url, "&from=%" PRIu64 "&until=%" PRIu64 "&format=pprof&spyName=perfprobe",
	           p->start_wall_ns / NS_PER_S, p->end_wall_ns / NS_PER_S + 1);
	if (p->period_ns)
		buf_printf(url, "&sampleRate=%" PRIu64, (NS_PER_S + p->period_ns / 2) / p->period_ns);
	url->failed |= name.failed;
	buf_done(&name);
	add_part(body, "profile", "application/octet-stream");
	buf_add(body, p->pprof, p->pprof_bytes);
	buf_add_str(body, "\r\n");
	add_part(body, "sample_type_config", "application/json");
	add_columns(body, p);
	buf_add_str(body, "\r\n--" PUSH_BOUNDARY "--\r\n");
	return 0;
}

/* ---- labels, as Prometheus has them ---- */

static size_t all_labels(const struct push *p, struct push_label ret[PUSH_LABELS + 2])
{
	size_t n = 0;

	ret[n++] = (struct push_label){ "__name__", p->kind };
	ret[n++] = (struct push_label){ "service_name", p->service };
	for (size_t i = 0; i < p->label_count; i++)
		ret[n++] = p->labels[i];
	return n;
}

static void build_push_v1(const struct push *p, struct buf *body)
{
	struct push_label labels[PUSH_LABELS + 2];
	size_t n = all_labels(p, labels);
	struct json j;

	json_init(&j, body);
	json_object_begin(&j);
	json_key(&j, "series");
	json_array_begin(&j);
	json_object_begin(&j);
	json_key(&j, "labels");
	json_array_begin(&j);
	for (size_t i = 0; i < n; i++) {
		json_object_begin(&j);
		json_key_string(&j, "name", labels[i].name);
		json_key_string(&j, "value", labels[i].value);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	/* The end is taken off again: the profile is too large to be copied through a string. */
	body->len -= strlen("}]}");
	buf_add_str(body, ",\"samples\":[{\"ID\":\"");
	add_uuid(body, p->id);
	buf_add_str(body, "\",\"rawProfile\":\"");
	add_base64(body, p->pprof, p->pprof_bytes);
	buf_add_str(body, "\"}]}]}");
}

/* ---- Parca: protobuf in a frame ---- */

static void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_add_char(b, (char)(v | 0x80));
	buf_add_char(b, (char)v);
}

/* A field of bytes. The field numbers below are those of parca/profilestore/v1alpha1/profilestore.proto. */
static void add_field(struct buf *b, unsigned field, const void *data, size_t bytes)
{
	add_varint(b, field << 3 | 2);
	add_varint(b, bytes);
	buf_add(b, data, bytes);
}

static void build_parca(const struct push *p, struct buf *body)
{
	enum {
		REQUEST_SERIES = 2,
		SERIES_LABELS = 1,
		SERIES_SAMPLES = 2,
		SET_LABELS = 1,
		LABEL_NAME = 1,
		LABEL_VALUE = 2,
		SAMPLE_RAW = 1
	};
	struct push_label labels[PUSH_LABELS + 2];
	struct buf label = { 0 }, set = { 0 }, sample = { 0 }, series = { 0 }, message = { 0 };
	size_t n = all_labels(p, labels);
	char head[5] = { 0 }; /* a frame of data: flag 0, length with the high byte first */

	for (size_t i = 0; i < n; i++) {
		buf_clear(&label);
		add_field(&label, LABEL_NAME, labels[i].name, strlen(labels[i].name));
		add_field(&label, LABEL_VALUE, labels[i].value, strlen(labels[i].value));
		add_field(&set, SET_LABELS, label.data, label.len);
	}
	add_field(&sample, SAMPLE_RAW, p->pprof, p->pprof_bytes);
	add_field(&series, SERIES_LABELS, set.data, set.len);
	add_field(&series, SERIES_SAMPLES, sample.data, sample.len);
	add_field(&message, REQUEST_SERIES, series.data, series.len);
	for (unsigned i = 0; i < 4; i++)
		head[1 + i] = (char)(message.len >> (24 - 8 * i));
	buf_add(body, head, sizeof(head));
	buf_add(body, message.data, message.len);
	body->failed |= label.failed | set.failed | sample.failed | series.failed | message.failed;
	buf_done(&label);
	buf_done(&set);
	buf_done(&sample);
	buf_done(&series);
	buf_done(&message);
}

int push_build(const struct push *p, struct buf *url, struct buf *body, struct err *err)
{
	size_t len = strlen(p->server), path = strlen(forms[p->form].path);
	int rc = 0;

	if (p->pprof_bytes > UINT32_MAX / 2)
		return err_set(err, -EFBIG, "the profile is larger than 2 GiB");
	while (len && p->server[len - 1] == '/')
		len--;
	buf_add(url, p->server, len);
	if (len < path || memcmp(p->server + len - path, forms[p->form].path, path) != 0)
		buf_add_str(url, forms[p->form].path);
	switch (p->form) {
	case PUSH_INGEST:
		rc = build_ingest(p, url, body, err);
		break;
	case PUSH_PUSH_V1:
		build_push_v1(p, body);
		break;
	case PUSH_PARCA:
		build_parca(p, body);
		break;
	case PUSH_FORM_COUNT:
		break;
	}
	if (rc == 0 && (url->failed || body->failed))
		rc = err_set(err, -ENOMEM, "out of memory");
	return rc;
}

/* plan.c - command line to plan: the request, checked and rendered once. */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"

void plan_done(struct plan *plan)
{
	url_done(&plan->url);
	free(plan->method);
	free(plan->request);
	free(plan->stages);
	tls_free(plan->tls);
	*plan = (struct plan){ 0 };
}

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", text[i]))
			return false;
	return len > 0;
}

static int check_header(const char *header, struct err *err)
{
	const char *colon = strchr(header, ':');

	if (!colon || !is_token(header, (size_t)(colon - header)))
		return err_set(err, -EINVAL, "-H '%s' is not of the form 'Name: value'", header);
	for (const char *c = colon + 1; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return err_set(err, -EINVAL, "-H '%.*s' holds a control character", (int)(colon - header),
			               header);
	return 0;
}

/* Does the user give this header, with a value or to take it out? */
static bool has_header(const struct cli_list *headers, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < headers->count; i++)
		if (strncasecmp(headers->items[i], name, len) == 0 && headers->items[i][len] == ':')
			return true;
	return false;
}

static int read_body_file(const char *path, struct buf *body, struct err *err)
{
	char chunk[16384];
	size_t n;
	int rc = 0;
	FILE *in = fopen(path, "rbe");

	if (!in)
		return err_set(err, -EIO, "cannot read the body '%s': %s", path, strerror(errno));
	while (rc == 0 && (n = fread(chunk, 1, sizeof(chunk), in)) > 0) {
		buf_add(body, chunk, n);
		if (body->len > PLAN_BODY_MAX)
			rc = err_set(err, -EINVAL, "the body '%s' is larger than %d MiB", path, PLAN_BODY_MAX >> 20);
	}
	if (rc == 0 && ferror(in))
		rc = err_set(err, -EIO, "cannot read the body '%s': %s", path, strerror(errno));
	(void)fclose(in); /* read only */
	return rc;
}

static int load_body(const char *text, struct buf *body, struct err *err)
{
	if (!text)
		return 0;
	if (text[0] == '@')
		return read_body_file(text + 1, body, err);
	buf_add_str(body, text);
	return 0;
}

static void add_user_headers(struct buf *out, const struct cli_list *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		const char *value = strchr(headers->items[i], ':') + 1;

		if (value[strspn(value, " \t")] == '\0')
			continue; /* "Name:" takes the default out, and sends nothing */
		buf_printf(out, "%s\r\n", headers->items[i]);
	}
}

static int render(const struct plan_request *r, const struct buf *body, struct plan *p, struct err *err)
{
	struct buf out = { 0 };

	buf_printf(&out, "%s %s HTTP/1.1\r\n", p->method, p->url.target);
	if (!has_header(&r->headers, "Host"))
		buf_printf(&out, "Host: %s\r\n", p->url.authority);
	if (!has_header(&r->headers, "User-Agent"))
		buf_add_str(&out, "User-Agent: probe-load/" PERFPROBE_VERSION "\r\n");
	if ((r->body || strcmp(p->method, "POST") == 0 || strcmp(p->method, "PUT") == 0) &&
	    !has_header(&r->headers, "Content-Length"))
		buf_printf(&out, "Content-Length: %zu\r\n", body->len);
	add_user_headers(&out, &r->headers);
	buf_add_str(&out, "\r\n");
	buf_add(&out, body->data, body->len);
	p->request = buf_take(&out, &p->request_bytes);
	return p->request && !body->failed ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int build_request(const struct plan_request *r, struct plan *p, struct err *err)
{
	const char *method = r->method ? r->method : r->body ? "POST" : "GET";
	CLEANUP(buf_done) struct buf body = { 0 };
	int rc;

	if (!is_token(method, strlen(method)) || strcmp(method, "CONNECT") == 0)
		return err_set(err, -EINVAL, "-m '%s' is not a method that can be driven", method);
	p->method = strdup(method);
	if (!p->method)
		return err_set(err, -ENOMEM, "out of memory");
	p->is_head = strcmp(method, "HEAD") == 0;
	for (size_t i = 0; i < r->headers.count; i++) {
		rc = check_header(r->headers.items[i], err);
		if (rc < 0)
			return rc;
	}
	rc = load_body(r->body, &body, err);
	if (rc < 0)
		return rc;
	return render(r, &body, p, err);
}

static int build_tls(const struct plan_request *r, struct plan *p, struct err *err)
{
	const struct tls_options *o = &r->tls;

	p->tls_resume = r->tls_resume;
	p->unix_socket = r->unix_socket;
	if (p->url.tls)
		return tls_new(o, &p->tls, err);
	if (o->ca_file || o->cert_file || o->key_file || o->insecure || r->tls_resume)
		return err_set(err, -EINVAL, "%s is about TLS, and the URL is not https://",
		               o->ca_file      ? "--cacert"
		               : o->cert_file  ? "--cert"
		               : o->key_file   ? "--key"
		               : r->tls_resume ? "--tls-resume"
		                               : "--insecure");
	return 0;
}

int plan_build(const struct plan_request *r, uint64_t cpus, struct plan *ret_plan, struct err *err)
{
	struct plan p = { 0 };
	int rc = url_parse(r->url, &p.url, err);

	if (rc == 0)
		rc = build_tls(r, &p, err);
	if (rc == 0)
		rc = plan_build_load(r, cpus, &p, err);
	if (rc == 0)
		rc = build_request(r, &p, err);
	if (rc < 0) {
		plan_done(&p);
		return rc;
	}
	*ret_plan = p;
	return 0;
}

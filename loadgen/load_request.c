#include "load_request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "load_check.h"
#include "units.h"

static const char *const methods[] = { "get", "head", "post", "put", "patch", "delete", "options" };

const struct doc_item *load_request_method(const struct doc *step, char ret_method[8])
{
	for (size_t i = 0; i < step->count; i++) {
		for (size_t j = 0; j < ARRAY_LEN(methods); j++) {
			if (strcasecmp(step->items[i].key, methods[j]) != 0)
				continue;
			for (size_t c = 0; c <= strlen(methods[j]); c++)
				ret_method[c] = (char)toupper(methods[j][c]);
			return &step->items[i];
		}
	}
	return NULL;
}

static bool is_known(const char *key, bool own)
{
	static const char *const keys[] = { "url",    "path",           "uri",     "name",    "json",      "body",
		                            "form",   "formData",       "qs",      "headers", "cookie",    "auth",
		                            "gzip",   "followRedirect", "capture", "match",   "expect",    "check",
		                            "ifTrue", "probability",    "timeout", "tags",    "cookieJar", "weight" };
	static const char *const hooks[] = { "beforeRequest", "afterResponse", "responseType" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	for (size_t i = 0; !own && i < ARRAY_LEN(hooks); i++)
		if (strcmp(key, hooks[i]) == 0)
			return true;
	return false;
}

static void unknown_keys(struct load *l, const struct doc *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const char *key = d->items[i].key;
		bool own = l->dialect.kind == DIALECT_OWN;

		if (is_known(key, own)) {
			if (strcmp(key, "beforeRequest") == 0 || strcmp(key, "afterResponse") == 0)
				testplan_warn(l->plan, d->items[i].line, "%s: functions of a processor are not run",
				              key);
			continue;
		}
		if (own)
			(void)load_refuse(l, d->items[i].line, "requests have no '%s'", key);
		else
			testplan_warn(l->plan, d->items[i].line, "'%s' of a request is not known; it is passed over",
			              key);
	}
}

static void headers(struct load *l, struct testplan_request *r, const struct doc *d)
{
	for (size_t i = 0; d && i < d->count && !l->refused; i++) {
		const struct doc *value = d->items[i].value;

		if (!doc_is(d, DOC_MAP) || !load_is_token(d->items[i].key) || value->kind == DOC_LIST ||
		    value->kind == DOC_MAP) {
			(void)load_refuse(l, d->items[i].line, "headers are names with texts");
			return;
		}
		l->dialect.line = value->line;
		load_header(l, r, d->items[i].key, dialect_template(&l->dialect, TEMPLATE_HEADER, value->text), true);
	}
}

static void type(struct load *l, struct testplan_request *r, const char *content_type)
{
	if (!load_has_header(r, "Content-Type"))
		load_header(l, r, "Content-Type", template_of(&l->plan->keep, content_type), false);
}

/* multipart/form-data of texts, and of files that the plan names. */
static void form_data(struct load *l, struct testplan_request *r, const struct doc *d)
{
	static const char boundary[] = "probe-load-5ac1c0de7b6f4d09";
	struct template_builder b;
	char head[300];

	template_begin(&b, &l->plan->keep);
	for (size_t i = 0; i < d->count && !l->refused; i++) {
		const struct doc *value = d->items[i].value, *file = doc_find(value, "fromFile");
		const char *text = value->text, *name = d->items[i].key;
		size_t len = value->len;

		if (strlen(name) > 100 || strpbrk(name, "\"\r\n"))
			(void)load_refuse(l, d->items[i].line, "a field's name that cannot be sent");
		if (doc_is(file, DOC_STRING))
			text = load_file(l, file->line, file->text, LOAD_BODY_MAX, &len);
		if (!text || l->refused)
			break;
		(void)snprintf(head, sizeof(head), "--%s\r\nContent-Disposition: form-data; name=\"%.100s\"%s\r\n\r\n",
		               boundary, name,
		               file ? "; filename=\"file\"\r\nContent-Type: application/octet-stream" : "");
		template_add_text(&b, TEMPLATE_PLAIN, head, strlen(head));
		l->dialect.line = value->line;
		if (file)
			template_add_text(&b, TEMPLATE_PLAIN, text, len);
		else
			dialect_add(&l->dialect, &b, TEMPLATE_PLAIN, text, len);
		template_add_text(&b, TEMPLATE_PLAIN, "\r\n", 2);
	}
	(void)snprintf(head, sizeof(head), "--%s--\r\n", boundary);
	template_add_text(&b, TEMPLATE_PLAIN, head, strlen(head));
	r->body = template_end(&b);
	type(l, r, keep_printf(&l->plan->keep, "multipart/form-data; boundary=%s", boundary));
}

static void body(struct load *l, struct testplan_request *r, const struct doc *d)
{
	const struct doc *json = doc_find(d, "json"), *text = doc_find(d, "body"), *form = doc_find(d, "form"),
	                 *parts = doc_find(d, "formData");

	if (json) {
		r->body = load_json(l, json);
		type(l, r, "application/json");
	} else if (doc_is(form, DOC_MAP)) {
		r->body = load_form(l, form);
		type(l, r, "application/x-www-form-urlencoded");
	} else if (doc_is(parts, DOC_MAP)) {
		form_data(l, r, parts);
	} else if (text && (text->kind == DOC_LIST || text->kind == DOC_MAP)) {
		(void)load_refuse(l, text->line, "'body' is a text; 'json' takes maps and lists");
	} else if (text) {
		l->dialect.line = text->line;
		r->body = dialect_template(&l->dialect, TEMPLATE_PLAIN, text->text);
	} else if (form || parts) {
		(void)load_refuse(l, (form ? form : parts)->line, "a form is a map");
	}
}

static void cookie(struct load *l, struct testplan_request *r, const struct doc *d)
{
	struct template_builder b;

	if (!doc_is(d, DOC_MAP))
		return;
	template_begin(&b, &l->plan->keep);
	for (size_t i = 0; i < d->count; i++) {
		if (!load_is_token(d->items[i].key))
			(void)load_refuse(l, d->items[i].line, "'%s' is no name of a cookie", d->items[i].key);
		template_add_text(&b, TEMPLATE_HEADER, i ? "; " : "", i ? 2 : 0);
		template_add_text(&b, TEMPLATE_HEADER, d->items[i].key, strlen(d->items[i].key));
		template_add_text(&b, TEMPLATE_HEADER, "=", 1);
		dialect_add(&l->dialect, &b, TEMPLATE_HEADER, d->items[i].value->text, d->items[i].value->len);
	}
	load_header(l, r, "Cookie", template_end(&b), true);
}

static void auth(struct load *l, struct testplan_request *r, const struct doc *d)
{
	const struct doc *user = doc_find(d, "user"), *pass = doc_find(d, "pass"), *kind = doc_find(d, "type");

	if (!pass)
		pass = doc_find(d, "password");
	if (!doc_is(user, DOC_STRING)) {
		(void)load_refuse(l, d->line, "'auth' needs a user");
		return;
	}
	l->dialect.line = d->line;
	if (doc_is(kind, DOC_STRING) && strcmp(kind->text, "digest") == 0) {
		r->auth = TESTPLAN_DIGEST;
		r->user = dialect_template(&l->dialect, TEMPLATE_PLAIN, user->text);
		r->password = dialect_template(&l->dialect, TEMPLATE_PLAIN, pass ? pass->text : "");
		return;
	}
	load_basic_auth(l, r,
	                dialect_template(&l->dialect, TEMPLATE_PLAIN,
	                                 keep_printf(&l->plan->keep, "%s:%s", user->text, pass ? pass->text : "")));
}

static void tags(struct load *l, struct testplan_request *r, const struct doc *d)
{
	struct testplan_tag *items;

	if (!doc_is(d, DOC_MAP) || d->count > 32) {
		(void)load_refuse(l, d->line, "'tags' is a map of at most 32");
		return;
	}
	items = keep_large(&l->plan->keep, d->count * sizeof(*items));
	for (size_t i = 0; items && i < d->count; i++)
		items[i] = (struct testplan_tag){ d->items[i].key, d->items[i].value->text };
	r->tags = items;
	r->tag_count = items ? d->count : 0;
}

/* `ifTrue` and `probability` put the request into a step of their own. */
static struct testplan_step *place(struct load *l, struct testplan_step *parent, const struct doc *d, uint32_t line)
{
	const struct doc *condition = doc_find(d, "ifTrue"), *probability = doc_find(d, "probability");
	double percent;

	if (doc_is(condition, DOC_STRING)) {
		l->dialect.line = condition->line;
		const struct condition *c = dialect_condition(&l->dialect, condition->text);

		if (c) {
			parent = testplan_add(l->plan, parent, TESTPLAN_IF, line);
			parent->condition = c;
		}
	}
	if (probability && load_number(l, probability, "'probability'", 0, 100, &percent)) {
		parent = testplan_add(l->plan, parent, TESTPLAN_RANDOM, line);
		testplan_add(l->plan, parent, TESTPLAN_SEQUENCE, line)->weight = percent;
		testplan_add(l->plan, parent, TESTPLAN_SEQUENCE, line)->weight = 100 - percent;
		parent = parent->first ? parent->first : parent;
	}
	return parent;
}

static const struct doc *url_of(const struct doc *d)
{
	static const char *const keys[] = { "url", "path", "uri" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (doc_find(d, keys[i]))
			return doc_find(d, keys[i]);
	return doc_is(d, DOC_STRING) ? d : NULL;
}

static void details(struct load *l, struct testplan_request *r, const struct doc *d)
{
	const struct doc *found;

	headers(l, r, doc_find(d, "headers"));
	if ((found = doc_find(d, "auth")))
		auth(l, r, found);
	body(l, r, d);
	cookie(l, r, doc_find(d, "cookie"));
	if ((found = doc_find(d, "gzip")) && found->number != 0 && !load_has_header(r, "Accept-Encoding"))
		load_header(l, r, "Accept-Encoding", template_of(&l->plan->keep, "gzip"), false);
	if ((found = doc_find(d, "followRedirect")))
		(void)load_bool(l, found, "'followRedirect'", &r->follow_redirects);
	if ((found = doc_find(d, "timeout")))
		(void)load_duration(l, found, "'timeout'", (double)NS_PER_S, &r->timeout_ns);
	if ((found = doc_find(d, "tags")))
		tags(l, r, found);
	if ((found = doc_find(d, "capture")))
		load_captures(l, r, found);
	if ((found = doc_find(d, "match")))
		load_matches(l, r, found);
	if ((found = doc_find(d, "expect")))
		load_expects(l, r, found);
	if ((found = doc_find(d, "check")))
		load_checks(l, r, found);
}

struct testplan_step *load_request(struct load *l, struct testplan_step *parent, const char *method,
                                   const struct doc *d, uint32_t line)
{
	const struct doc *url = url_of(d), *qs = doc_find(d, "qs"), *name = doc_find(d, "name");
	struct testplan_request *r = keep_alloc(&l->plan->keep, sizeof(*r));
	struct testplan_step *step;

	if (!doc_is(url, DOC_STRING) || !*url->text)
		return (void)load_refuse(l, line, "a request needs a URL"), NULL;
	if (doc_is(d, DOC_MAP))
		unknown_keys(l, d);
	*r = (struct testplan_request){ .method = keep_text(&l->plan->keep, method, strlen(method)),
		                        .follow_redirects = l->follow_redirects };
	for (size_t i = 0; i < l->header_count; i++)
		load_header(l, r, l->headers[i].name, l->headers[i].value, true);
	if (qs && !doc_is(qs, DOC_MAP))
		return (void)load_refuse(l, qs->line, "'qs' is a map"), NULL;
	if (!load_target(l, url->line, r, url->text, qs ? load_form(l, qs) : NULL))
		return NULL;
	if (doc_is(d, DOC_MAP))
		details(l, r, d);
	if (l->refused || l->plan->keep.failed)
		return NULL;
	step = testplan_add(l->plan, doc_is(d, DOC_MAP) ? place(l, parent, d, line) : parent, TESTPLAN_REQUEST, line);
	step->request = r;
	/* Without a name of its own, the URL as the plan has it: one name, however many URLs it makes. */
	step->name = doc_is(name, DOC_STRING) ? name->text : keep_printf(&l->plan->keep, "%s %s", method, url->text);
	return step;
}

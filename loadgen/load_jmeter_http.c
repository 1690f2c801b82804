/* HTTP samplers: the nearest of what is configured around them, and themselves first. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "load_jmeter_tools.h"

enum { MS_NS = 1000000 };

struct sampler {
	struct load *l;
	const struct xml *element;
	const struct jmeter_level *level;
	struct testplan_request *request;
};

static bool is_defaults(const struct xml *x)
{
	const char *gui = xml_tree_attribute(x, "guiclass");

	return strcmp(x->name, "ConfigTestElement") == 0 && (!gui || strstr(gui, "HttpDefaultsGui"));
}

/* A property of the sampler, or of the nearest HTTP Request Defaults. */
static const char *property(const struct sampler *s, const char *name)
{
	const char *own = jmeter_property(s->element, name);

	for (const struct jmeter_level *v = s->level; v && !own; v = v->up)
		for (size_t i = 0; i < v->count && !own; i++)
			if (is_defaults(v->parts[i]))
				own = jmeter_property(v->parts[i], name);
	return own;
}

/* ---- where to ---- */

/* The origin's text: its parts are constants or not, the loader of targets sees. */
static const char *origin(struct sampler *s)
{
	struct keep *k = &s->l->plan->keep;
	const char *domain = property(s, "HTTPSampler.domain"), *port = property(s, "HTTPSampler.port"),
	           *protocol = property(s, "HTTPSampler.protocol");
	const char *known = domain ? jmeter_constant(s->l, s->element, domain) : NULL;

	if (!domain || (known && !*known))
		return NULL;
	domain = known ? known : domain;
	port = port && jmeter_constant(s->l, s->element, port) ? jmeter_constant(s->l, s->element, port) : port;
	protocol = protocol && jmeter_constant(s->l, s->element, protocol) ? jmeter_constant(s->l, s->element, protocol)
	                                                                   : protocol;
	if (strstr(domain, "://")) {
		size_t len = strlen(domain);

		testplan_warn(s->l->plan, s->element->line,
		              "the server's name is a URL, '%s': JMeter fails every sample of it; it is taken as the "
		              "URL that it is",
		              domain);
		while (len && domain[len - 1] == '/')
			len--;
		return keep_text(k, domain, len);
	}
	return keep_printf(k, "%s://%s%s%s", protocol && *protocol ? protocol : "http", domain,
	                   port && *port ? ":" : "", port && *port ? port : "");
}

/* ---- arguments ---- */

static const struct xml *arguments(const struct xml *element)
{
	const struct xml *list = jmeter_find(element, "HTTPsampler.Arguments");

	list = list ? jmeter_find(list, "Arguments.arguments") : NULL;
	return list ? list->first : NULL;
}

/* name=value&...: a value that is not to be encoded is written as it stands. */
static void form(struct sampler *s, struct template_builder *b, const struct xml *a, enum template_place place)
{
	bool first = b->count == 0 && b->text.len == 0;

	for (; a; a = a->next) {
		const char *name = jmeter_property(a, "Argument.name"), *value = jmeter_property(a, "Argument.value"),
		           *equals = jmeter_property(a, "Argument.metadata");
		enum template_place here = jmeter_is_true(a, "HTTPArgument.always_encode") ? TEMPLATE_FORM : place;

		if (!name && !value)
			continue;
		if (!first)
			template_add_text(b, TEMPLATE_PLAIN, "&", 1);
		first = false;
		s->l->dialect.line = a->line;
		if (name)
			dialect_add(&s->l->dialect, b, here, name, strlen(name));
		if (name && (value || (equals && *equals == '=')))
			template_add_text(b, TEMPLATE_PLAIN, "=", 1);
		if (value)
			dialect_add(&s->l->dialect, b, here, value, strlen(value));
	}
}

static const struct template *query(struct sampler *s)
{
	struct template_builder b;

	template_begin(&b, &s->l->plan->keep);
	for (const struct jmeter_level *v = s->level; v; v = v->up)
		for (size_t i = 0; i < v->count; i++)
			if (is_defaults(v->parts[i]))
				form(s, &b, arguments(v->parts[i]), TEMPLATE_TARGET);
	form(s, &b, arguments(s->element), TEMPLATE_TARGET);
	return template_end(&b);
}

static void raw_body(struct sampler *s, struct template_builder *b)
{
	for (const struct xml *a = arguments(s->element); a; a = a->next) {
		const char *value = jmeter_property(a, "Argument.value");

		s->l->dialect.line = a->line;
		if (value)
			dialect_add(&s->l->dialect, b, TEMPLATE_PLAIN, value, strlen(value));
	}
}

/* ---- files ---- */

static const struct xml *files(const struct xml *element)
{
	const struct xml *list = jmeter_find(element, "HTTPsampler.Files");

	list = list ? jmeter_find(list, "HTTPFileArgs.files") : NULL;
	return list ? list->first : NULL;
}

static const char *read_file(struct sampler *s, const struct xml *f, size_t *ret_len)
{
	const char *path = jmeter_property(f, "File.path");

	path = path ? jmeter_constant(s->l, f, path) : NULL;
	if (!path)
		return (void)load_refuse(s->l, f->line, "a file to be sent needs a name that is known before the run"),
		       NULL;
	return load_file(s->l, f->line, path, LOAD_BODY_MAX, ret_len);
}

static bool part_head(struct sampler *s, struct template_builder *b, const struct xml *x, const char *name,
                      const char *file, const char *type)
{
	char head[600];

	if (strlen(name) > 100 || strlen(file) > 200 || strlen(type) > 100 || strpbrk(name, "\"\r\n") ||
	    strpbrk(file, "\"\r\n") || strpbrk(type, "\r\n"))
		return load_refuse(s->l, x->line, "a field's name that cannot be sent");
	(void)snprintf(head, sizeof(head),
	               "--probe-load-5ac1c0de7b6f4d09\r\nContent-Disposition: form-data; name=\"%s\"%s%s%s%s%s\r\n\r\n",
	               name, *file ? "; filename=\"" : "", file, *file ? "\"" : "", *type ? "\r\nContent-Type: " : "",
	               type);
	template_add_text(b, TEMPLATE_PLAIN, head, strlen(head));
	return true;
}

static void multipart(struct sampler *s, struct template_builder *b)
{
	static const char end[] = "--probe-load-5ac1c0de7b6f4d09--\r\n";

	for (const struct xml *a = arguments(s->element); a; a = a->next) {
		const char *name = jmeter_property(a, "Argument.name"), *value = jmeter_property(a, "Argument.value");

		if (!part_head(s, b, a, name ? name : "", "", ""))
			return;
		s->l->dialect.line = a->line;
		dialect_add(&s->l->dialect, b, TEMPLATE_PLAIN, value ? value : "", value ? strlen(value) : 0);
		template_add_text(b, TEMPLATE_PLAIN, "\r\n", 2);
	}
	for (const struct xml *f = files(s->element); f; f = f->next) {
		const char *name = jmeter_property(f, "File.paramname"), *type = jmeter_property(f, "File.mimetype"),
		           *path = jmeter_property(f, "File.path"), *text;
		size_t len;

		text = read_file(s, f, &len);
		if (!text ||
		    !part_head(s, b, f, name ? name : "file", strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
		               type ? type : "application/octet-stream"))
			return;
		template_add_text(b, TEMPLATE_PLAIN, text, len);
		template_add_text(b, TEMPLATE_PLAIN, "\r\n", 2);
	}
	template_add_text(b, TEMPLATE_PLAIN, end, sizeof(end) - 1);
	load_header(s->l, s->request, "Content-Type",
	            template_of(&s->l->plan->keep, "multipart/form-data; boundary=probe-load-5ac1c0de7b6f4d09"), true);
}

static void body(struct sampler *s)
{
	const struct xml *file = files(s->element);
	struct testplan_request *r = s->request;
	struct template_builder b;
	size_t len;

	template_begin(&b, &s->l->plan->keep);
	if (jmeter_is_true(s->element, "HTTPSampler.DO_MULTIPART_POST") ||
	    (file && jmeter_property(file, "File.paramname"))) {
		multipart(s, &b);
	} else if (file) {
		const char *text = read_file(s, file, &len);

		if (text)
			template_add_text(&b, TEMPLATE_PLAIN, text, len);
	} else if (jmeter_is_true(s->element, "HTTPSampler.postBodyRaw")) {
		raw_body(s, &b);
	} else if (arguments(s->element)) {
		bool named = false;

		for (const struct xml *a = arguments(s->element); a; a = a->next)
			named = named || jmeter_property(a, "Argument.name");
		if (named)
			form(s, &b, arguments(s->element), TEMPLATE_PLAIN);
		else
			raw_body(s, &b);
		if (named && !load_has_header(r, "Content-Type"))
			load_header(s->l, r, "Content-Type",
			            template_of(&s->l->plan->keep, "application/x-www-form-urlencoded"), false);
	}
	r->body = template_end(&b);
	if (r->body->count == 0)
		r->body = NULL;
}

/* ---- headers ---- */

static void manager(struct sampler *s, const struct xml *x, bool replace)
{
	const struct xml *list = jmeter_find(x, "HeaderManager.headers");

	for (const struct xml *h = list ? list->first : NULL; h; h = h->next) {
		const char *name = jmeter_property(h, "Header.name"), *value = jmeter_property(h, "Header.value");

		if (!name)
			continue;
		if (!load_is_token(name))
			testplan_warn(s->l->plan, h->line, "'%s' is no header's name; it is passed over", name);
		else if (replace || !load_has_header(s->request, name))
			load_header(s->l, s->request, name,
			            jmeter_template(s->l, h, TEMPLATE_HEADER, value ? value : ""), replace);
	}
}

/* The nearest of a name wins. */
static void headers(struct sampler *s)
{
	const struct xml *odd = jmeter_find(s->element, "HTTPsampler.header_manager"),
	                 *own = jmeter_find(s->element, "HTTPSampler.header_manager");

	if (odd)
		testplan_warn(s->l->plan, odd->line,
		              "HTTPsampler.header_manager is not where JMeter looks for headers; they are sent here");
	if (odd || own)
		manager(s, odd ? odd : own, true);
	for (const struct jmeter_level *v = s->level; v; v = v->up)
		for (size_t i = 0; i < v->count; i++)
			if (strcmp(v->parts[i]->name, "HeaderManager") == 0)
				manager(s, v->parts[i], false);
}

static void authorize(struct sampler *s, const struct xml *a)
{
	const char *user = jmeter_property(a, "Authorization.username"),
	           *password = jmeter_property(a, "Authorization.password"),
	           *kind = jmeter_property(a, "Authorization.mechanism");
	struct template_builder b;

	if (!user)
		return;
	password = password ? password : "";
	if (kind && strcmp(kind, "DIGEST") == 0) {
		s->request->auth = TESTPLAN_DIGEST;
		s->request->user = jmeter_template(s->l, a, TEMPLATE_PLAIN, user);
		s->request->password = jmeter_template(s->l, a, TEMPLATE_PLAIN, password);
		return;
	}
	if (kind && strncmp(kind, "BASIC", 5) != 0) {
		testplan_warn(s->l->plan, a->line, "authorization by %s is not built", kind);
		return;
	}
	template_begin(&b, &s->l->plan->keep);
	s->l->dialect.line = a->line;
	dialect_add(&s->l->dialect, &b, TEMPLATE_PLAIN, user, strlen(user));
	template_add_text(&b, TEMPLATE_PLAIN, ":", 1);
	dialect_add(&s->l->dialect, &b, TEMPLATE_PLAIN, password, strlen(password));
	load_basic_auth(s->l, s->request, template_end(&b));
}

/* The nearest manager's first entry whose URL the sampler's begins with. */
static void authorization(struct sampler *s, const char *from)
{
	for (const struct jmeter_level *v = s->level; v; v = v->up) {
		for (size_t i = 0; i < v->count; i++) {
			const struct xml *list = strcmp(v->parts[i]->name, "AuthManager") == 0
			                                 ? jmeter_find(v->parts[i], "AuthManager.auth_list")
			                                 : NULL;

			for (const struct xml *a = list ? list->first : NULL; a; a = a->next) {
				const char *url = jmeter_property(a, "Authorization.url");

				if (url && from && strncmp(url, from, strlen(from)) != 0 &&
				    strncmp(from, url, strlen(url)) != 0)
					continue;
				authorize(s, a);
				return;
			}
		}
	}
}

/* ---- all of it ---- */

static bool has_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

static bool target(struct sampler *s, const char *from)
{
	const char *path = property(s, "HTTPSampler.path"),
	           *known = path ? jmeter_constant(s->l, s->element, path) : "", *url;
	const struct template *q = has_body(s->request->method) ? NULL : query(s);

	path = known ? known : path;
	if (strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0) {
		url = path;
	} else if (s->l->base) { /* --target */
		url = path;
	} else if (!from) {
		return load_refuse(s->l, s->element->line, "the sampler '%s' has no server's name",
		                   jmeter_name(s->element));
	} else {
		url = keep_printf(&s->l->plan->keep, "%s%s%s", from, *path && *path != '/' ? "/" : "", path);
	}
	return load_target(s->l, s->element->line, s->request, url, q);
}

static void timeouts(struct sampler *s)
{
	const char *response = property(s, "HTTPSampler.response_timeout"),
	           *connect = property(s, "HTTPSampler.connect_timeout");
	double a = 0, b = 0;

	if (response && jmeter_constant(s->l, s->element, response))
		(void)doc_number(jmeter_constant(s->l, s->element, response), &a);
	if (connect && jmeter_constant(s->l, s->element, connect))
		(void)doc_number(jmeter_constant(s->l, s->element, connect), &b);
	if (a > 0 && a + b < 1e12)
		s->request->timeout_ns = (uint64_t)((a + (b > 0 ? b : 0)) * MS_NS);
}

struct testplan_step *jmeter_sampler(struct load *l, struct testplan_step *parent, const struct xml *element,
                                     const struct jmeter_level *level)
{
	struct testplan_request *r = keep_alloc(&l->plan->keep, sizeof(*r));
	struct sampler s = { l, element, level, r };
	const char *method = jmeter_property(element, "HTTPSampler.method"), *from;
	struct testplan_step *step;

	method = method ? jmeter_constant(l, element, method) : "GET";
	if (!method || !load_is_token(method))
		return (void)load_refuse(l, element->line, "a method that is none, or that varies"), NULL;
	*r = (struct testplan_request){ .method = method };
	r->follow_redirects = jmeter_is_true(element, "HTTPSampler.follow_redirects") ||
	                      jmeter_is_true(element, "HTTPSampler.auto_redirects");
	if (jmeter_is_true(element, "HTTPSampler.image_parser"))
		testplan_warn(l->plan, element->line, "embedded resources are not fetched");
	if (property(&s, "HTTPSampler.proxyHost"))
		testplan_warn(l->plan, element->line, "proxies are not used");
	from = origin(&s);
	if (!target(&s, from))
		return NULL;
	headers(&s);
	authorization(&s, from);
	if (has_body(method) || jmeter_is_true(element, "HTTPSampler.postBodyRaw"))
		body(&s);
	timeouts(&s);
	jmeter_extractors(l, r, level);
	jmeter_assertions(l, r, level);
	if (l->refused || l->plan->keep.failed)
		return NULL;
	step = testplan_add(l->plan, parent, TESTPLAN_REQUEST, element->line);
	step->request = r;
	step->name = jmeter_name(element);
	return step;
}

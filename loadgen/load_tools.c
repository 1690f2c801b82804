#include "load_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_write.h"
#include "units.h"

bool load_refuse(struct load *l, uint32_t line, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!l->refused)
		(void)err_set(l->err, -EPROTO, "%u: %s", line, text);
	l->refused = true;
	return false;
}

static const char *read_all(struct load *l, uint32_t line, const char *path, int fd, size_t max, size_t *ret_len)
{
	struct stat st;
	char *text;
	size_t n = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return load_refuse(l, line, "'%s' is no file", path), NULL;
	if ((uint64_t)st.st_size > max)
		return load_refuse(l, line, "'%s' is larger than %zu MiB", path, max >> 20), NULL;
	text = keep_large(&l->plan->keep, (size_t)st.st_size + 1);
	while (text && n < (size_t)st.st_size) {
		ssize_t got = read(fd, text + n, (size_t)st.st_size - n);

		if (got < 0)
			return load_refuse(l, line, "'%s' cannot be read: %s", path, strerror(errno)), NULL;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret_len = n;
	return text;
}

const char *load_file(struct load *l, uint32_t line, const char *path, size_t max, size_t *ret_len)
{
	const char *slash = strrchr(l->plan->path, '/'), *text;
	int fd;

	if (l->options->no_files)
		return load_refuse(l, line, "'%s' is not read", path), NULL;
	if (*path != '/' && slash)
		path = keep_printf(&l->plan->keep, "%.*s/%s", (int)(slash - l->plan->path), l->plan->path, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
	if (fd < 0)
		return load_refuse(l, line, "'%s' cannot be read: %s", path, strerror(errno)), NULL;
	text = read_all(l, line, path, fd, max, ret_len);
	(void)close(fd);
	return text;
}

/* Behind the authority of a URL; NULL: it is none. */
static const char *authority_end(const char *url)
{
	const char *at = strstr(url, "://");

	if (!at || (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0))
		return NULL;
	at += 3;
	return at + strcspn(at, "/?#");
}

bool load_base(struct load *l, uint32_t line, const char *url)
{
	const char *end = authority_end(url);
	struct err err = { 0 };
	size_t len;

	if (!end) {
		url = keep_printf(&l->plan->keep, "http://%s", url);
		end = authority_end(url);
	}
	l->base = keep_text(&l->plan->keep, url, (size_t)(end - url));
	len = strcspn(end, "?#");
	while (len && end[len - 1] == '/')
		len--;
	l->base_path = keep_text(&l->plan->keep, end, len);
	if (testplan_origin(l->plan, l->base, &l->base_origin, &err) < 0)
		return load_refuse(l, line, "the target '%s': %s", url, err.text);
	return true;
}

static bool varies(const struct load *l, const char *text, size_t len)
{
	return (l->dialect.kind != DIALECT_ARTILLERY && memmem(text, len, "${", 2)) ||
	       (l->dialect.kind != DIALECT_JMETER && memmem(text, len, "{{", 2));
}

bool load_target(struct load *l, uint32_t line, struct testplan_request *r, const char *url,
                 const struct template *query)
{
	const char *end = authority_end(url), *rest = end ? end : url;
	size_t len = strcspn(rest, "#");
	struct template_builder b;
	struct err err = { 0 };

	l->dialect.line = line;
	r->origin = l->base_origin;
	template_begin(&b, &l->plan->keep);
	if (end && varies(l, url, (size_t)(end - url))) {
		r->origin = TESTPLAN_NO_ORIGIN;
		dialect_add(&l->dialect, &b, TEMPLATE_TARGET, url, (size_t)(end - url));
	} else if (end) {
		if (testplan_origin(l->plan, keep_text(&l->plan->keep, url, (size_t)(end - url)), &r->origin, &err) < 0)
			(void)load_refuse(l, line, "%s", err.text);
	} else if (!l->base && varies(l, url, strcspn(url, "/?"))) {
		r->origin = TESTPLAN_NO_ORIGIN; /* "{{ target }}/x" of a variable */
	} else if (!l->base) {
		(void)load_refuse(l, line, "'%s' is relative, and the plan has no target", url);
	} else {
		template_add_text(&b, TEMPLATE_TARGET, l->base_path, strlen(l->base_path));
	}
	if (r->origin != TESTPLAN_NO_ORIGIN && (len == 0 || *rest != '/'))
		template_add_text(&b, TEMPLATE_TARGET, "/", 1);
	dialect_add(&l->dialect, &b, TEMPLATE_TARGET, rest, len);
	if (query && query->count) {
		template_add_text(&b, TEMPLATE_TARGET, memchr(rest, '?', len) ? "&" : "?", 1);
		template_add_all(&b, query);
	}
	r->target = template_end(&b);
	return !l->refused;
}

bool load_is_token(const char *text)
{
	return *text &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")] ==
	               '\0';
}

void load_header(struct load *l, struct testplan_request *r, const char *name, const struct template *value,
                 bool replace)
{
	struct testplan_header *headers;

	for (size_t i = 0; replace && i < r->header_count; i++) {
		if (strcasecmp(r->headers[i].name, name) == 0) {
			((struct testplan_header *)(uintptr_t)r->headers)[i].value = value; /* ours while loading */
			return;
		}
	}
	headers = keep_grow(&l->plan->keep, (void *)(uintptr_t)r->headers, r->header_count, sizeof(*headers));
	if (!headers)
		return;
	headers[r->header_count++] = (struct testplan_header){ name, value };
	r->headers = headers;
}

bool load_has_header(const struct testplan_request *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return true;
	return false;
}

void load_basic_auth(struct load *l, struct testplan_request *r, const struct template *user_and_password)
{
	struct template_builder b;

	template_begin(&b, &l->plan->keep);
	template_add_text(&b, TEMPLATE_HEADER, "Basic ", 6);
	dialect_add_call(&l->dialect, &b, TEMPLATE_HEADER,
	                 &(struct template_call){ .function = TEMPLATE_CALL_BASE64,
	                                          .args = { user_and_password },
	                                          .arg_count = 1,
	                                          .result = TEMPLATE_NO_SLOT },
	                 NULL, "");
	load_header(l, r, "Authorization", template_end(&b), true);
	r->auth = TESTPLAN_BASIC;
}

struct capture *load_add_capture(struct load *l, struct testplan_request *r)
{
	struct capture *items =
	        keep_grow(&l->plan->keep, (void *)(uintptr_t)r->captures, r->capture_count, sizeof(*items));

	if (!items)
		return keep_alloc(&l->plan->keep, sizeof(*items));
	r->captures = items;
	items += r->capture_count++;
	*items = (struct capture){
		.match = 1, .name = "", .expression = "", .right = "", .joined_slot = TEMPLATE_NO_SLOT
	};
	return items;
}

struct check *load_add_check(struct load *l, struct testplan_request *r, const char *name, uint32_t line)
{
	struct check *items = keep_grow(&l->plan->keep, (void *)(uintptr_t)r->checks, r->check_count, sizeof(*items));

	if (!items)
		return keep_alloc(&l->plan->keep, sizeof(*items));
	r->checks = items;
	items += r->check_count++;
	*items = (struct check){ .name = name, .line = line, .id = testplan_check_id(l->plan, name) };
	return items;
}

bool load_expect(struct load *l, struct check *c, const char *text)
{
	struct keep *k = &l->plan->keep;
	bool is_pattern = c->test == CHECK_MATCHES || c->test == CHECK_MATCHES_ALL;
	struct err err = { 0 };
	void *items =
	        keep_grow(k, is_pattern ? (void *)c->patterns : (void *)c->expected, c->expected_count, sizeof(void *));

	if (!items)
		return false;
	l->dialect.line = c->line;
	if (is_pattern) {
		c->patterns = items;
		if (pattern_compile(k, text, "s", &c->patterns[c->expected_count], &err) < 0)
			return load_refuse(l, c->line, "%s", err.text);
	} else {
		c->expected = items;
		c->expected[c->expected_count] = dialect_template(&l->dialect, TEMPLATE_PLAIN, text);
	}
	c->expected_count++;
	return true;
}

void load_all_slots(struct load *l, struct capture *c, bool joined)
{
	struct keep *k = &l->plan->keep;

	c->all = keep_large(k, CAPTURE_ALL_MAX * sizeof(*c->all));
	for (unsigned i = 0; c->all && i < CAPTURE_ALL_MAX; i++)
		c->all[i] = testplan_slot(l->plan, keep_printf(k, "%s_%u", c->name, i + 1));
	c->count_slot = testplan_slot(l->plan, keep_printf(k, "%s_matchNr", c->name));
	if (joined)
		c->joined_slot = testplan_slot(l->plan, keep_printf(k, "%s_ALL", c->name));
}

/* ---- documents ---- */

const char *load_text(struct load *l, const struct doc *d, const char *what)
{
	const char *text;

	if (!d || d->kind == DOC_LIST || d->kind == DOC_MAP || d->kind == DOC_NULL)
		return load_refuse(l, d ? d->line : 1, "%s is a text, not %s", what, doc_kind_text(d)), NULL;
	if (d->kind != DOC_STRING)
		return d->text;
	l->dialect.line = d->line;
	text = template_constant(dialect_template(&l->dialect, TEMPLATE_PLAIN, d->text));
	if (!text)
		(void)load_refuse(l, d->line, "%s must be known before the run, but '%s' is not", what, d->text);
	return text;
}

bool load_number(struct load *l, const struct doc *d, const char *what, double least, double most, double *ret_number)
{
	const char *text = load_text(l, d, what);
	double number;

	if (!text)
		return false;
	if (doc_is(d, DOC_NUMBER))
		number = d->number;
	else if (!doc_number(text, &number))
		return load_refuse(l, d->line, "%s is a number, not '%s'", what, text);
	if (!(number >= least && number <= most))
		return load_refuse(l, d->line, "%s is a number from %g to %g, not '%s'", what, least, most, text);
	*ret_number = number;
	return true;
}

bool load_duration(struct load *l, const struct doc *d, const char *what, double unit_ns, uint64_t *ret_ns)
{
	static const struct {
		const char *word;
		double ns;
	} words[] = { { "millisecond", 1e6 }, { "second", 1e9 },  { "sec", 1e9 },    { "minute", 60e9 },
		      { "min", 60e9 },        { "hour", 3600e9 }, { "day", 86400e9 } };
	const char *text = load_text(l, d, what);
	char *end;
	double n;

	if (!text)
		return false;
	n = strtod(text, &end);
	if (end != text && *end == '\0' && n >= 0 && n * unit_ns < 1e18) {
		*ret_ns = (uint64_t)llround(n * unit_ns);
		return true;
	}
	if (units_parse_duration(text, ret_ns) == 0)
		return true;
	end += strspn(end, " ");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].word);

		if (n >= 0 && n < 1e8 && strncmp(end, words[i].word, len) == 0 &&
		    (end[len] == '\0' || strcmp(end + len, "s") == 0)) {
			*ret_ns = (uint64_t)llround(n * words[i].ns);
			return true;
		}
	}
	return load_refuse(l, d->line, "%s is a duration, not '%s'", what, text);
}

bool load_bool(struct load *l, const struct doc *d, const char *what, bool *ret_bool)
{
	const char *text = load_text(l, d, what);

	if (!text)
		return false;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return load_refuse(l, d->line, "%s is true or false, not '%s'", what, text);
	*ret_bool = strcmp(text, "true") == 0;
	return true;
}

static void put_quoted(struct template_builder *b, const char *text, size_t len)
{
	template_add_text(b, TEMPLATE_PLAIN, "\"", 1);
	template_add_text(b, TEMPLATE_JSON, text, len);
	template_add_text(b, TEMPLATE_PLAIN, "\"", 1);
}

static void put_json(struct load *l, struct template_builder *b, const struct doc *d, bool constant)
{
	const struct template *t;
	const struct template_segment *single;

	if (d->kind == DOC_LIST || d->kind == DOC_MAP) {
		template_add_text(b, TEMPLATE_PLAIN, d->kind == DOC_MAP ? "{" : "[", 1);
		for (size_t i = 0; i < d->count && !l->plan->keep.failed; i++) {
			if (i)
				template_add_text(b, TEMPLATE_PLAIN, ",", 1);
			if (d->kind == DOC_MAP) {
				put_quoted(b, d->items[i].key, strlen(d->items[i].key));
				template_add_text(b, TEMPLATE_PLAIN, ":", 1);
			}
			put_json(l, b, d->items[i].value, constant);
		}
		template_add_text(b, TEMPLATE_PLAIN, d->kind == DOC_MAP ? "}" : "]", 1);
	} else if (d->kind == DOC_NUMBER) {
		const char *text = strpbrk(d->text, "x+_") ? keep_printf(&l->plan->keep, "%.15g", d->number) : d->text;

		template_add_text(b, TEMPLATE_PLAIN, text, strlen(text));
	} else if (d->kind != DOC_STRING) {
		const char *word = d->kind == DOC_NULL ? "null" : d->number != 0 ? "true" : "false";

		template_add_text(b, TEMPLATE_PLAIN, word, strlen(word));
	} else if (constant) {
		put_quoted(b, d->text, d->len);
	} else {
		l->dialect.line = d->line;
		t = dialect_template(&l->dialect, TEMPLATE_JSON, d->text);
		single = template_single(t);
		if (single) { /* it keeps its kind */
			struct template_segment segment = *single;

			segment.place = TEMPLATE_JSON_VALUE;
			template_add_segment(b, &segment);
			return;
		}
		template_add_text(b, TEMPLATE_PLAIN, "\"", 1);
		template_add_all(b, t);
		template_add_text(b, TEMPLATE_PLAIN, "\"", 1);
	}
}

const struct template *load_json(struct load *l, const struct doc *d)
{
	struct template_builder b;

	template_begin(&b, &l->plan->keep);
	put_json(l, &b, d, false);
	return template_end(&b);
}

struct scope_item load_item(struct load *l, const struct doc *d)
{
	struct template_builder b;
	const char *text;

	if (d->kind == DOC_STRING)
		return (struct scope_item){ d->text, d->len, SCOPE_TEXT };
	template_begin(&b, &l->plan->keep);
	put_json(l, &b, d, true);
	text = template_constant(template_end(&b));
	return (struct scope_item){ text ? text : "", text ? strlen(text) : 0, SCOPE_JSON };
}

const struct template *load_form(struct load *l, const struct doc *map)
{
	struct template_builder b;

	template_begin(&b, &l->plan->keep);
	for (size_t i = 0; i < map->count; i++) {
		const struct doc *value = map->items[i].value;

		if (i)
			template_add_text(&b, TEMPLATE_PLAIN, "&", 1);
		template_add_text(&b, TEMPLATE_FORM, map->items[i].key, strlen(map->items[i].key));
		template_add_text(&b, TEMPLATE_PLAIN, "=", 1);
		l->dialect.line = value->line;
		if (value->kind == DOC_LIST || value->kind == DOC_MAP) {
			struct scope_item item = load_item(l, value);

			dialect_add(&l->dialect, &b, TEMPLATE_FORM, item.text, item.len);
		} else if (value->kind != DOC_NULL) {
			dialect_add(&l->dialect, &b, TEMPLATE_FORM, value->text, value->len);
		}
	}
	return template_end(&b);
}

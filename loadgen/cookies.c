#include "cookies.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cookie {
	char *text; /* "name=value", NUL, host, NUL, path: one allocation */
	size_t name_len;
	const char *host, *path;
	bool secure;
};

void cookies_clear(struct cookies *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->items[i].text);
	c->count = 0;
}

void cookies_done(struct cookies *c)
{
	cookies_clear(c);
	free(c->items);
	c->items = NULL;
}

/* One attribute of "; Name=Value; ..."; false at the end. */
static bool next_attribute(const char **at, const char *end, const char **name, size_t *name_len, const char **value,
                           size_t *value_len)
{
	const char *stop, *equals;

	while (*at < end && (**at == ';' || **at == ' '))
		++*at;
	if (*at >= end)
		return false;
	stop = memchr(*at, ';', (size_t)(end - *at));
	stop = stop ? stop : end;
	equals = memchr(*at, '=', (size_t)(stop - *at));
	*name = *at;
	*name_len = (size_t)((equals ? equals : stop) - *at);
	*value = equals ? equals + 1 : stop;
	*value_len = (size_t)(stop - *value);
	*at = stop;
	return true;
}

static bool is_name(const char *text, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(text, name, len) == 0;
}

static void drop(struct cookies *c, size_t i)
{
	free(c->items[i].text);
	c->items[i] = c->items[--c->count];
}

/* The path that a cookie has without one: the target up to its last slash. */
static size_t default_path(const char *target)
{
	size_t len = strcspn(target, "?#");

	while (len > 1 && target[len - 1] != '/')
		len--;
	return len > 1 ? len - 1 : 1;
}

static bool keep(struct cookies *c, const char *pair, size_t pair_len, size_t name_len, const char *host,
                 const char *path, size_t path_len, bool secure)
{
	size_t host_len = strlen(host);
	struct cookie *new;

	if (!c->items && !(c->items = calloc(COOKIES_MAX, sizeof(*c->items))))
		return false;
	if (c->count == COOKIES_MAX)
		drop(c, 0);
	new = &c->items[c->count];
	new->text = malloc(pair_len + host_len + path_len + 3);
	if (!new->text)
		return false;
	memcpy(new->text, pair, pair_len);
	new->text[pair_len] = '\0';
	memcpy(new->text + pair_len + 1, host, host_len + 1);
	memcpy(new->text + pair_len + host_len + 2, path, path_len);
	new->text[pair_len + host_len + 2 + path_len] = '\0';
	new->host = new->text + pair_len + 1;
	new->path = new->text + pair_len + host_len + 2;
	new->name_len = name_len;
	new->secure = secure;
	c->count++;
	return true;
}

static bool take_one(struct cookies *c, const char *host, const char *target, const char *line, const char *end)
{
	const char *pair = line, *at = line, *name, *value, *path = target;
	size_t name_len, value_len, pair_name, pair_len, path_len = default_path(target);
	bool gone = false, secure = false;

	if (!next_attribute(&at, end, &name, &pair_name, &value, &value_len) || pair_name == 0 ||
	    value == name + pair_name)
		return true;
	pair = name;
	pair_len = (size_t)(at - pair);
	if (pair_len > COOKIES_BYTES_MAX)
		return true;
	while (next_attribute(&at, end, &name, &name_len, &value, &value_len)) {
		if (is_name(name, name_len, "Path") && value_len && *value == '/') {
			path = value;
			path_len = value_len;
		} else if (is_name(name, name_len, "Max-Age")) {
			gone = value_len && (*value == '-' || (*value == '0' && value_len == 1));
		} else if (is_name(name, name_len, "Expires")) {
			gone = gone || memmem(value, value_len, "1970", 4);
		} else if (is_name(name, name_len, "Secure")) {
			secure = true;
		}
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct cookie *old = &c->items[i];

		if (old->name_len == pair_name && memcmp(old->text, pair, pair_name) == 0 &&
		    strcmp(old->host, host) == 0 && strlen(old->path) == path_len &&
		    memcmp(old->path, path, path_len) == 0) {
			drop(c, i);
			break;
		}
	}
	return gone || keep(c, pair, pair_len, pair_name, host, path, path_len, secure);
}

bool cookies_take(struct cookies *c, const char *host, const char *target, const char *head, size_t len)
{
	static const char name[] = "Set-Cookie:";

	for (const char *line = head, *end = head + len; line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line)), *stop = next ? next : end;

		if ((size_t)(stop - line) > sizeof(name) - 1 && strncasecmp(line, name, sizeof(name) - 1) == 0) {
			const char *value = line + sizeof(name) - 1;

			while (stop > value && (stop[-1] == '\r' || stop[-1] == ' '))
				stop--;
			if (!take_one(c, host, target, value, stop))
				return false;
		}
		line = next ? next + 1 : end;
	}
	return true;
}

static bool is_below(const char *target, const char *path)
{
	size_t len = strlen(path);

	return strncmp(target, path, len) == 0 &&
	       (path[len - 1] == '/' || target[len] == '\0' || strchr("/?#", target[len]));
}

void cookies_put(const struct cookies *c, const char *host, const char *target, bool tls, struct buf *out)
{
	bool first = true;

	for (size_t i = 0; i < c->count; i++) {
		const struct cookie *one = &c->items[i];

		if (strcmp(one->host, host) != 0 || !is_below(target, one->path) || (one->secure && !tls))
			continue;
		if (!first)
			buf_add(out, "; ", 2);
		buf_add_str(out, one->text);
		first = false;
	}
}

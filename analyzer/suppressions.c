#include "suppressions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Why each is no leak of the program's:
 * - Memory of thread-local variables of libraries that came later is held by tables of the loader, some of them by addresses
 *   that point before the block.
 * - What the loader itself allocates (link maps, search paths, vectors of thread-local storage) it keeps, or frees only
 *   when the process ends, and its own variables hold it in ways of its own. Only the frame that called the allocator is
 *   compared: a constructor that the loader runs may leak. */
static const struct suppression built_in[] = {
	{ "*tls_get_addr*", "built in", 0, false },
	{ "/ld-linux*.so", "built in", 0, true },
	{ "/ld-musl*.so", "built in", 0, true },
};

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

static int add_item(struct suppressions *s, struct suppression item, struct err *err)
{
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct suppression *grown = realloc(s->items, cap * sizeof(*grown));

		if (!grown)
			return no_memory(err);
		s->items = grown;
		s->cap = cap;
	}
	s->items[s->count++] = item;
	return 0;
}

int suppressions_add_built_in(struct suppressions *s, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(built_in) && rc == 0; i++)
		rc = add_item(s, built_in[i], err);
	return rc;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its blanks. -EINVAL with what is wrong with it. */
static int add_line(struct suppressions *s, const char *line, size_t len, const char *source, uint32_t number,
                    struct err *err)
{
	static const char kind[] = "leak:";
	struct suppression item = { .source = source, .line = number };

	if (len == 0 || line[0] == '#')
		return 0;
	if (len < sizeof(kind) - 1 || memcmp(line, kind, sizeof(kind) - 1) != 0)
		return err_set(err, -EINVAL, "%s:%u: '%.*s' is no suppression; lines are leak:TEMPLATE", source, number,
		               len < 60 ? (int)len : 60, line);
	if (len == sizeof(kind) - 1)
		return err_set(err, -EINVAL, "%s:%u: a suppression without a template would hide every leak", source,
		               number);
	if (memchr(line, '\0', len))
		return err_set(err, -EINVAL, "%s:%u: holds a NUL byte; this is no file of suppressions", source,
		               number);
	item.template = arena_text(&s->texts, line + sizeof(kind) - 1, len - (sizeof(kind) - 1));
	return item.template ? add_item(s, item, err) : no_memory(err);
}

int suppressions_add(struct suppressions *s, const char *text, size_t len, const char *source, size_t *ret_bad,
                     struct err *err)
{
	const char *own_source = arena_text(&s->texts, source, strlen(source));
	struct err first = { 0 };
	size_t at = 0, bad = 0;

	if (!own_source)
		return no_memory(err);
	for (uint32_t number = 1; at < len; number++) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t end = newline ? (size_t)(newline - text) : len, next = end + 1;
		int rc;

		while (at < end && is_blank(text[at]))
			at++;
		while (end > at && is_blank(text[end - 1]))
			end--;
		rc = add_line(s, text + at, end - at, own_source, number, err);
		if (rc < 0 && (rc != -EINVAL || !ret_bad))
			return rc;
		if (rc < 0 && bad++ == 0)
			first = *err;
		at = next;
	}
	if (ret_bad) {
		*ret_bad = bad;
		if (bad && err)
			*err = first;
	}
	return 0;
}

void suppressions_done(struct suppressions *s)
{
	free(s->items);
	arena_done(&s->texts);
	*s = (struct suppressions){ 0 };
}

bool suppression_matches(const char *template, const char *text)
{
	bool at_start = template[0] == '^', after_star = false;

	if (!text || !text[0])
		return false;
	if (at_start)
		template ++;
	while (template[0]) {
		size_t len = strcspn(template, "*$");
		const char *found;

		if (template[0] == '$') /* what would follow it is not looked at */
			return after_star || !text[0];
		if (template[0] == '*') {
			template ++;
			at_start = false;
			after_star = true;
			continue;
		}
		found = memmem(text, strlen(text), template, len); /* linear: names and templates come from files */
		if (!found || (at_start && found != text))
			return false;
		text = found + len;
		template += len;
		at_start = after_star = false;
	}
	return true;
}

static size_t find_name(const struct suppressions *s, const char *name, bool allocating)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].allocating == allocating && suppression_matches(s->items[i].template, name))
			return i;
	return SUPPRESSION_NONE;
}

size_t suppressions_find(const struct suppressions *s, const char *module, const char *function, const char *file,
                         bool allocating)
{
	size_t found = find_name(s, module, allocating);

	if (found == SUPPRESSION_NONE)
		found = find_name(s, function, allocating);
	if (found == SUPPRESSION_NONE)
		found = find_name(s, file, allocating);
	return found;
}

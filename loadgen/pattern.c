#define PCRE2_CODE_UNIT_WIDTH 8
#include "pattern.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MATCH_LIMIT = 1000000, HEAP_LIMIT_KIB = 16 << 10, TEXT_MAX = 64 << 10 };

struct pattern {
	pcre2_code *code, *whole; /* whole: the same, anchored at both ends */
};

struct pattern_memory {
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static void free_code(void *code)
{
	pcre2_code_free(code);
}

static pcre2_code *compile(struct keep *k, const char *text, uint32_t options, struct err *err)
{
	PCRE2_SIZE at;
	int error;
	unsigned char reason[120];
	pcre2_code *code =
	        pcre2_compile((PCRE2_SPTR)text, strlen(text), options | PCRE2_NEVER_BACKSLASH_C, &error, &at, NULL);

	if (!code) {
		(void)pcre2_get_error_message(error, reason, sizeof(reason));
		(void)err_set(err, -EINVAL, "the regular expression '%.100s': %s (at character %zu)", text,
		              (const char *)reason, (size_t)at + 1);
		return NULL;
	}
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it the interpreter matches */
	if (!keep_at_end(k, free_code, code)) {
		pcre2_code_free(code);
		return NULL;
	}
	return code;
}

int pattern_compile(struct keep *k, const char *text, const char *flags, const struct pattern **ret_pattern,
                    struct err *err)
{
	struct pattern *p = keep_alloc(k, sizeof(*p));
	uint32_t options = 0;

	if (strlen(text) > TEXT_MAX)
		return err_set(err, -EINVAL, "a regular expression longer than 64 KiB");
	for (; *flags; flags++) {
		options |= *flags == 'i'   ? PCRE2_CASELESS
		           : *flags == 'm' ? PCRE2_MULTILINE
		           : *flags == 's' ? PCRE2_DOTALL
		           : *flags == 'x' ? PCRE2_EXTENDED
		                           : 0;
		if (!strchr("imsxguy", *flags))
			return err_set(err, -EINVAL, "regular expressions have no flag '%c'", *flags);
	}
	p->code = compile(k, text, options, err);
	p->whole = p->code ? compile(k, text, options | PCRE2_ANCHORED | PCRE2_ENDANCHORED, err) : NULL;
	if (!p->whole)
		return k->failed ? err_set(err, -ENOMEM, "out of memory") : -EINVAL;
	*ret_pattern = p;
	return 0;
}

struct pattern_memory *pattern_memory_new(void)
{
	struct pattern_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->data = pcre2_match_data_create(PATTERN_GROUPS_MAX, NULL);
	m->limits = pcre2_match_context_create(NULL);
	if (!m->data || !m->limits) {
		pattern_memory_free(m);
		return NULL;
	}
	(void)pcre2_set_match_limit(m->limits, MATCH_LIMIT);
	(void)pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KIB);
	return m;
}

void pattern_memory_free(struct pattern_memory *memory)
{
	if (!memory)
		return;
	pcre2_match_data_free(memory->data);
	pcre2_match_context_free(memory->limits);
	free(memory);
}

bool pattern_find(const struct pattern *p, struct pattern_memory *memory, const char *text, size_t len, size_t from,
                  struct pattern_match *ret_match)
{
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(memory->data);
	int n;

	if (from > len)
		return false;
	n = pcre2_match(p->code, (PCRE2_SPTR)text, len, from, 0, memory->data, memory->limits);
	if (n < 0)
		return false;
	if (n == 0) /* more groups than are kept */
		n = PATTERN_GROUPS_MAX;
	for (int i = 0; i < PATTERN_GROUPS_MAX; i++) {
		bool took_part = i < n && ends[2 * i] != PCRE2_UNSET && ends[2 * i] <= ends[2 * i + 1];

		ret_match->groups[i] = took_part ? text + ends[2 * i] : NULL;
		ret_match->lens[i] = took_part ? ends[2 * i + 1] - ends[2 * i] : 0;
	}
	ret_match->end = ends[1] > from ? ends[1] : from + 1; /* an empty match is passed by */
	return true;
}

bool pattern_matches(const struct pattern *p, struct pattern_memory *memory, const char *text, size_t len)
{
	return pcre2_match(p->whole, (PCRE2_SPTR)text, len, 0, 0, memory->data, memory->limits) >= 0;
}

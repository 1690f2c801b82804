#include "unwind_copy.h"

#include <string.h>

#include "arch.h"
#include "os_linux.h"

enum { WORD = sizeof(uintptr_t), PAGE = 4096 };

/* The piece behind what is there, to its end or to that of its first page. */
static bool fetch(struct stack_copy *c)
{
	uintptr_t room = c->lo + sizeof(c->bytes) - c->hi;
	uintptr_t to_page = PAGE - c->hi % PAGE;
	uintptr_t want = room < STACK_COPY_PIECE ? room : STACK_COPY_PIECE;

	if (!os_read_memory((const void *)c->hi, c->bytes + (c->hi - c->lo), want)) {
		want = want < to_page ? want : to_page;
		if (!os_read_memory((const void *)c->hi, c->bytes + (c->hi - c->lo), want))
			return false;
	}
	c->hi += want;
	return true;
}

bool stack_copy_word(struct stack_copy *c, uintptr_t at, uintptr_t *ret_word)
{
	if (at % WORD || at > UINTPTR_MAX - 2 * sizeof(c->bytes))
		return false;
	/* Elsewhere, on another stack or far above: the copy begins anew there. */
	if (at < c->lo || at - c->lo > sizeof(c->bytes) - WORD)
		c->lo = c->hi = at;
	while (at + WORD > c->hi)
		if (!fetch(c))
			return false;
	memcpy(ret_word, c->bytes + (at - c->lo), WORD);
	return true;
}

/*
 * marks.c - a ring of the newest marks. A writer takes a number, and with it a slot; the slot's number is written last, so
 * that a reader which finds the same number before and after has a whole mark.
 */
#include "marks.h"

#include <string.h>

#include "atomic.h"
#include "losses.h"
#include "os_linux.h"

static struct slot {
	_Atomic uint64_t number; /* the mark's, from 1; 0: none, or being written */
	struct mark mark;
} ring[MARKS_MAX];
static _Atomic uint64_t made;

void marks_add(const char *name, uint32_t thread)
{
	uint64_t number = add_relaxed(&made, 1);
	struct slot *s = &ring[number % MARKS_MAX];
	size_t len = strnlen(name, MARK_NAME_BYTES - 1);

	if (number >= MARKS_MAX)
		loss_add(LOSS_MARKS, 1);
	store_relaxed(&s->number, 0);
	atomic_thread_fence(memory_order_release); /* before what follows; pairs with the fence in marks_get */
	s->mark.time_ns = os_now_ns();
	s->mark.thread = thread;
	memcpy(s->mark.name, name, len);
	s->mark.name[len] = '\0';
	store_release(&s->number, number + 1); /* pairs with the acquire in marks_get */
}

uint64_t marks_count(void)
{
	return load_relaxed(&made);
}

bool marks_get(uint64_t i, struct mark *ret_mark)
{
	struct slot *s = &ring[i % MARKS_MAX];

	if (load_acquire(&s->number) != i + 1) /* pairs with the release in marks_add */
		return false;
	*ret_mark = s->mark;
	ret_mark->name[MARK_NAME_BYTES - 1] = '\0';
	atomic_thread_fence(memory_order_acquire); /* pairs with the fence in marks_add */
	return load_relaxed(&s->number) == i + 1;
}

void marks_fork_child(void)
{
	for (unsigned i = 0; i < MARKS_MAX; i++)
		store_relaxed(&ring[i].number, 0);
	store_relaxed(&made, 0);
}

/* What one virtual user knows: its variables, its random numbers, who and where in the run it is. A variable's memory grows to
 * its longest value and stays, so that steady running allocates nothing. One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "dice.h"

#define SCOPE_SHARED UINT32_C(0x80000000)
enum { SCOPE_VALUE_MAX = 16 << 20 }; /* bytes of one variable: longer ones are cut */

enum scope_kind {
	SCOPE_UNSET, /* no value: what is written for it, its template says */
	SCOPE_TEXT,
	SCOPE_JSON, /* a number, true, false, null, a list or an object, as JSON */
};

struct scope_value {
	char *data;
	size_t len, cap;
	enum scope_kind kind;
};

/* Lists of the plan, known to all users ("users: [[..], [..]]"): each item a value. */
struct scope_item {
	const char *text;
	size_t len;
	enum scope_kind kind;
};
struct scope_list {
	const char *name;
	const struct scope_item *items;
	size_t count;
	bool is_sampled; /* a user that begins has one of them as the value of `slot` */
	uint32_t slot;
	uint32_t line;
};

struct scope {
	struct scope_value *values; /* by slot */
	size_t count;
	const struct scope_list *lists;
	size_t list_count;
	uint64_t *counters; /* of functions that count, by number; from SCOPE_SHARED on all users' */
	_Atomic uint64_t *shared_counters;
	/* Which item of each list the current request has drawn: picks[i] belongs to it if pick_marks[i] == request. So the
	 * parts of one row go together. */
	uint64_t *picks, *pick_marks;
	struct dice dice;
	uint64_t user, iteration, request; /* all from 1 */
	int64_t unix_ms;                   /* for time functions: of the current action */
	struct buf scratch, result; /* of nested calls: stacks, each user of them leaves them as long as they were */
	struct buf condition;       /* the operands of the comparison under way */
	bool failed;                /* out of memory: the user cannot go on */
};

/* False: no memory. All of it is freed by scope_done(). */
bool scope_init(struct scope *s, size_t slots, const struct scope_list *lists, size_t list_count, size_t counters);
void scope_done(struct scope *s);
void scope_set(struct scope *s, uint32_t slot, enum scope_kind kind, const char *data, size_t len);
void scope_unset(struct scope *s, uint32_t slot);
/* Nothing is known any more. */
void scope_reset(struct scope *s);
/* The next number of a counter, from 1. */
uint64_t scope_count(struct scope *s, uint32_t counter);
/* The item that this request has, or draws, of a list. */
const struct scope_item *scope_pick(struct scope *s, size_t list);

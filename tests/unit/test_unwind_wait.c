/* Tests of the walk of another thread that waits: from its stack and program counter alone, with what its own walk found as
 * the truth. Compiled in several ways, as programs are. */
#include "t.h"

#include <alloca.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "arch.h"
#include "os_linux.h"
#include "snapshot_layout.h"
#include "stacks.h"
#include "unwind.h"
#include "unwind_copy.h"

enum { MOST = STACKS_MAX_DEPTH };

struct waiter {
	uintptr_t lo, hi;
	uintptr_t truth[MOST];
	size_t truth_depth;
	int fd; /* what it waits for */
	pthread_mutex_t *lock;
	volatile pid_t tid;
	const char *how;
	unsigned deep;
};

static struct stack_copy copy;

/* Stands where a hook stands. */
void test_hook(struct waiter *w);
NOINLINE NO_SANITIZE void test_hook(struct waiter *w)
{
	struct unwind_start start = unwind_from_frame(ARCH_HOOK_FRAME(), w->lo, w->hi);

	w->truth_depth = unwind_walk(&start, w->truth, ARRAY_LEN(w->truth));
}

static NOINLINE void block(struct waiter *w)
{
	struct timespec second = { 30, 0 };
	char byte;

	test_hook(w);
	w->tid = os_tid();
	if (strcmp(w->how, "read") == 0)
		assert_int_equal(read(w->fd, &byte, 1), 1);
	else if (strcmp(w->how, "poll") == 0)
		assert_int_equal(poll(&(struct pollfd){ .fd = w->fd, .events = POLLIN }, 1, 30000), 1);
	else if (strcmp(w->how, "lock") == 0)
		assert_int_equal(pthread_mutex_lock(w->lock), 0);
	else
		(void)nanosleep(&second, NULL); /* ended by cancellation */
	__asm__ volatile("" : : "r"(w) : "memory");
}

static NOINLINE int with_room(struct waiter *w, size_t bytes)
{
	char *room = alloca(bytes);

	memset(room, 1, bytes);
	block(w);
	return room[bytes / 2];
}

static NOINLINE int down(struct waiter *w, unsigned n)
{
	volatile char keep[64];
	int sum;

	keep[n % sizeof(keep)] = 1;
	if (n > 0)
		sum = down(w, n - 1);
	else if (w->deep % 2)
		sum = with_room(w, 300 + w->deep);
	else
		sum = (block(w), 1);
	return sum + keep[n % sizeof(keep)];
}

static void *run(void *arg)
{
	struct waiter *w = arg;
	pthread_attr_t attr;
	void *lo;
	size_t bytes;

	assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
	assert_int_equal(pthread_attr_getstack(&attr, &lo, &bytes), 0);
	(void)pthread_attr_destroy(&attr);
	w->lo = (uintptr_t)lo;
	w->hi = w->lo + bytes;
	(void)down(w, w->deep);
	return NULL;
}

/* Its place, when it has come to wait. */
static void wait_until_it_waits(const struct waiter *w, uintptr_t *ret_sp, uintptr_t *ret_pc)
{
	uint64_t before, deadline = os_now_ns() + UINT64_C(20000000000);

	do {
		assert_true(os_now_ns() < deadline);
		(void)usleep(1000);
		before = w->tid ? os_thread_cpu_ns(w->tid) : 0;
	} while (!w->tid || os_thread_place(w->tid, ret_sp, ret_pc) != 0 || os_thread_cpu_ns(w->tid) != before);
}

/* The walk's frames, from the function that waits outward, are the truth's; what is between that and the kernel is libc's. */
static void compare(const struct waiter *w, uintptr_t sp, uintptr_t pc)
{
	uintptr_t pcs[MOST];
	struct unwind_start start = unwind_from_wait(pc, sp, w->lo, w->hi, &copy);
	size_t depth,
	        outer = w->truth_depth - 1; /* of the truth, without the function that waits: it has gone on since */

	stack_copy_init(&copy);
	depth = unwind_walk(&start, pcs, ARRAY_LEN(pcs));
	assert_true(w->truth_depth > 3 && w->truth[w->truth_depth - 1] != SNAP_PC_TRUNCATED);
	if (depth <= outer || memcmp(pcs + depth - outer, w->truth + 1, outer * sizeof(pcs[0])) != 0)
		fail_msg("%s, %u deep: %zu frames, %zu wanted behind those of libc%s", w->how, w->deep, depth, outer,
		         pcs[depth - 1] == SNAP_PC_TRUNCATED ? ", truncated" : "");
}

static void a_waiting_thread_is_walked(void **state)
{
	static const char *const ways[] = { "read", "poll", "lock", "sleep" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		for (unsigned deep = 0; deep < 40; deep += 13) {
			pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
			struct waiter w = { .how = ways[i], .lock = &lock, .deep = deep };
			uintptr_t sp, pc;
			pthread_t thread;
			int pipe_ends[2];

			assert_int_equal(pipe(pipe_ends), 0);
			w.fd = pipe_ends[0];
			assert_int_equal(pthread_mutex_lock(&lock), 0);
			assert_int_equal(pthread_create(&thread, NULL, run, &w), 0);
			wait_until_it_waits(&w, &sp, &pc);
			compare(&w, sp, pc);
			(void)pthread_mutex_unlock(&lock);
			assert_int_equal(write(pipe_ends[1], "x", 1), 1);
			if (strcmp(w.how, "sleep") == 0)
				(void)pthread_cancel(thread);
			(void)pthread_join(thread, NULL);
			close(pipe_ends[0]);
			close(pipe_ends[1]);
		}
	}
}

static volatile bool stop;
static volatile pid_t spinning;

static void *spin(void *unused)
{
	spinning = os_tid();
	while (!stop)
		arch_relax();
	return unused;
}

static void one_that_runs_says_so(void **state)
{
	uintptr_t sp, pc;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, spin, NULL), 0);
	while (!spinning)
		(void)usleep(100);
	assert_int_equal(os_thread_place(spinning, &sp, &pc), -EBUSY);
	stop = true;
	(void)pthread_join(thread, NULL);
	assert_true(os_thread_place(1 << 22, &sp, &pc) < 0); /* above the largest number of a thread */
}

/* A copy is read beyond its first piece, elsewhere, and up to memory that is not there. */
static void copies_end_where_memory_does(void **state)
{
	static uintptr_t words[3 * STACK_COPY_BYTES / sizeof(uintptr_t)];
	struct t_guarded end = t_guarded_new(NULL, 4096);
	uintptr_t word;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = i * 3;
	stack_copy_init(&copy);
	for (size_t i = 0; i < ARRAY_LEN(words); i += i % 5 ? 1 : 700) {
		assert_true(stack_copy_word(&copy, (uintptr_t)&words[i], &word));
		assert_true(word == i * 3);
	}
	assert_true(stack_copy_word(&copy, (uintptr_t)&words[1], &word) && word == 3);
	assert_false(stack_copy_word(&copy, (uintptr_t)&words[1] + 1, &word));
	assert_false(stack_copy_word(&copy, 8, &word));
	assert_false(stack_copy_word(&copy, UINTPTR_MAX - 7, &word));
	memset(end.data, 7, end.len);
	assert_true(stack_copy_word(&copy, (uintptr_t)end.data + end.len - 16, &word));
	assert_true(stack_copy_word(&copy, (uintptr_t)end.data + end.len - 8, &word));
	assert_true(word == UINT64_C(0x0707070707070707));
	assert_false(stack_copy_word(&copy, (uintptr_t)end.data + end.len, &word));
	t_guarded_free(&end);
}

static int set_up(void **state)
{
	const char *why;

	(void)state;
	assert_string_equal(unwind_init(UNWIND_AUTO, &why), "cfi");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_waiting_thread_is_walked),
		cmocka_unit_test(one_that_runs_says_so),
		cmocka_unit_test(copies_end_where_memory_does),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}

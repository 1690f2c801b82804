/* Leaves database calls by longjmp and by the thread's end, calls from callbacks, and from depths above and below the one that was
 * left. */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>

int mysql_query(void *mysql, const char *text);
int mysql_real_query(void *mysql, const char *text, unsigned long bytes);

static jmp_buf back;

static int jumps(void)
{
	longjmp(back, 1);
}

static int ends(void)
{
	pthread_exit(NULL);
}

static int calls(void)
{
	volatile int rc = mysql_query(
	        NULL, "UPDATE below SET x = 1"); /* a call, not a jump, which would look like the library's */

	return rc;
}

static __attribute__((noinline)) int deeper(int depth)
{
	volatile char room[512];

	room[0] = (char)depth;
	if (depth)
		return deeper(depth - 1) + room[0];
	return mysql_query(NULL, "SELECT x FROM deep");
}

static void *thread(void *arg)
{
	(void)mysql_query((void *)ends, "DELETE FROM ended");
	return arg;
}

int main(void)
{
	pthread_t t;

	for (volatile int i = 0; i < 10; i++) {
		if (setjmp(back) == 0)
			(void)mysql_query((void *)jumps, "INSERT INTO jumped VALUES (1)");
		(void)deeper(i);
		(void)mysql_query(NULL, "SELECT x FROM same");
		(void)mysql_query((void *)calls, "UPDATE above SET x = 1");
		(void)mysql_real_query((void *)calls, "UPDATE above SET x = 1", 22);
		if (pthread_create(&t, NULL, thread, NULL) || pthread_join(t, NULL))
			return 1;
	}
	puts("done");
	return 0;
}

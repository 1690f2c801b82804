/* Tests of control.c and control_socket.c without the helper: the grammar of requests, options that change, a leak check that
 * takes its time, and the socket in a table of descriptors that is the program's (Linux before 5.9). */
#include "t.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "control.h"
#include "control_socket.h"
#include "dump.h"
#include "os_linux.h"
#include "own_socket.h"
#include "samples.h"
#include "start.h"
#include "state.h"
#include "units.h"

static char answer[CONTROL_ANSWER_MAX];

static const char *ask(const char *line)
{
	assert_int_equal(control_answer(line, answer, sizeof(answer)), CONTROL_ANSWERED);
	assert_true(answer[strlen(answer) - 1] == '\n');
	return answer;
}

static int begin(void **state)
{
	(void)state;
	config_parse(start_config_to_change(), NULL);
	dump_init(start_config());
	store_release(&state_now, STATE_RUNNING);
	return 0;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void what_is_no_request(void **state)
{
	static const char *const lines[] = { "",        " ",          "x",       "status ",  "status x",
		                             " status", "snapshot2",  "snapsho", "STATUS",   "set",
		                             "setx",    "stop start", "start ",  "leaks all" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		T_CHECK(lines[i], strncmp(ask(lines[i]), "error not understood", 20) == 0);
	assert_int_equal(state_get(), STATE_RUNNING);
}

static void stop_and_start(void **state)
{
	(void)state;
	T_STR("stop", ask("stop"), "ok\n");
	assert_int_equal(state_get(), STATE_STOPPED);
	T_STR("stop", ask("stop"), "ok\n");
	assert_non_null(strstr(ask("status"), "\nstate       stopped, "));
	T_STR("start", ask("start"), "ok\n");
	assert_int_equal(state_get(), STATE_RUNNING);
	store_release(&state_now, STATE_OFF); /* passive for good */
	T_STR("start", ask("start"), "ok\n");
	assert_int_equal(state_get(), STATE_OFF);
	store_release(&state_now, STATE_RUNNING);
}

static void options_change(void **state)
{
	const struct config *c = start_config();
	uint32_t changes = config_changes();

	(void)state;
	T_STR("every", ask("set EVERY=250ms"), "ok\n");
	assert_true(c->every == 250 * NS_PER_MS);
	T_STR("prefix", ask("set PERFPROBE_EVERY=1m30s"), "ok\n");
	assert_true(c->every == 90 * NS_PER_S);
	T_STR("text", c->text[CONFIG_EVERY], "1m30s");
	assert_int_equal(c->source[CONFIG_EVERY], SNAP_OPTION_RUNTIME);
	assert_non_null(strstr(ask("status"), "\nPERFPROBE_EVERY=1m30s (set at run time)\n"));
	T_STR("dir", ask("set DIR=/tmp"), "ok\n");
	T_STR("dir", dump_dir(), "/tmp");
	assert_int_equal(config_changes(), changes + 3);
}

static void options_that_do_not_change(void **state)
{
	static const struct {
		const char *line, *want;
	} rows[] = {
		{ "set CPU=1", "error PERFPROBE_CPU cannot change while the program runs\n" },
		{ "set METRICS=9464-", "error PERFPROBE_METRICS='9464-' is not usable (an address is 127.0.0.1:9464, "
		                       "127.0.0.1:9464-9479, [::1]:9464, unix:/path or off)\n" },
		{ "set EVERY=1ms", "error PERFPROBE_EVERY='1ms' is not usable (the shortest interval is 10ms)\n" },
		{ "set WINDOW=2h", "error PERFPROBE_WINDOW='2h' is not usable (the window must be 1s to 1h)\n" },
		{ "set VERBOSE=-1",
		  "error PERFPROBE_VERBOSE='-1' is not usable (1: version, engines and every option on stderr)\n" },
		{ "set CPU", "error set needs NAME=VALUE\n" },
		{ "set =1", "error there is no variable of that name\n" },
		{ "set every=1s", "error there is no variable of that name\n" },
		{ "set EVERY =1s", "error there is no variable of that name\n" },
		{ "set DIR=here",
		  "error PERFPROBE_DIR must begin with '/' here: the program may be in any directory\n" },
		{ "set DIR=", "error PERFPROBE_DIR must begin with '/' here: the program may be in any directory\n" },
		{ "set DIR=/dev/null", "error /dev/null: Not a directory\n" },
	};
	struct config was = *start_config();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		T_STR(rows[i].line, ask(rows[i].line), rows[i].want);
	assert_memory_equal(&was, start_config(), sizeof(was));
}

/* An answer that does not fit is cut, and still a line. */
static void long_answers_are_cut(void **state)
{
	static char line[CONTROL_REQUEST_MAX];

	(void)state;
	(void)snprintf(line, sizeof(line), "set WINDOW=%07000d", 1);
	assert_int_equal(strncmp(ask(line), "error PERFPROBE_WINDOW='0000", 27), 0);
	assert_true(strlen(answer) > 4000 && strlen(answer) < 4500);
}

/* ---- what takes long ---------------------------------------------------------------------------------------------- */

static int steps_left, leaks_rc;
static const char *leaks_text = "";

static int slow_check(char *text, size_t size)
{
	if (steps_left-- > 0)
		return -EINPROGRESS;
	(void)snprintf(text, size, "%s", leaks_text);
	return leaks_rc;
}

static void a_leak_check_in_steps(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *want;
	} rows[] = {
		{ "/tmp/a.leaks.snap", 0, "ok /tmp/a.leaks.snap\n" },
		{ "the process is being traced already", -EPERM, "error the process is being traced already\n" },
		{ "", -ENOMEM, "error Cannot allocate memory\n" },
	};

	(void)state;
	assert_int_equal(strncmp(ask("leaks"), "error not available", 19), 0);
	control_on_leaks(slow_check);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		steps_left = 2;
		leaks_text = rows[i].text;
		leaks_rc = rows[i].rc;
		assert_int_equal(control_answer("leaks", answer, sizeof(answer)), CONTROL_LATER);
		assert_true(control_is_busy());
		T_STR("second", ask("leaks"), "error a leak check is under way already\n");
		assert_false(control_later(answer, sizeof(answer)));
		assert_false(control_later(answer, sizeof(answer)));
		assert_true(control_later(answer, sizeof(answer)));
		T_STR(rows[i].want, answer, rows[i].want);
		assert_false(control_is_busy());
	}
	control_on_leaks(NULL);
}

/* ---- the socket ---------------------------------------------------------------------------------------------------- */

static uint64_t now_ns;

static void tick(void)
{
	now_ns += 50 * NS_PER_MS;
	(void)control_socket_tick(now_ns);
}

static struct sockaddr_un address(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/perfprobe-%u/%d.sock", (unsigned)geteuid(), (int)getpid());
	return a;
}

static bool there(void)
{
	struct stat st;

	return lstat(address().sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int client(const char *text)
{
	struct sockaddr_un a = address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	return fd;
}

/* What has come, NUL-terminated; "" if nothing has, NULL when the other side closed before. */
static const char *heard(int fd)
{
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);

	answer[n > 0 ? n : 0] = '\0';
	return n == 0 || (n < 0 && errno == ECONNRESET) ? NULL : answer;
}

/* The highest descriptor: ours is moved up, above all that the program has. */
static int highest(void)
{
	struct stat st;
	int fd = 65535;

	while (fd > 0 && fstat(fd, &st) < 0)
		fd--;
	return fd;
}

static int open_socket(void **state)
{
	(void)state;
	now_ns = os_now_ns();
	own_socket_begin(true);
	control_socket_begin(now_ns);
	(void)control_socket_tick(now_ns);
	if (there())
		return -1; /* not before its time */
	for (int i = 0; i < 4; i++)
		tick();
	return there() ? 0 : -1;
}

static int close_socket(void **state)
{
	(void)state;
	control_socket_end();
	return there() ? -1 : 0;
}

static void one_request_is_answered(void **state)
{
	int fd = client("status\n");

	(void)state;
	tick();
	assert_int_equal(strncmp(heard(fd), "ok\nprocess     ", 15), 0);
	assert_null(heard(fd));
	close(fd);
	fd = client("sto");
	tick();
	T_STR("half", heard(fd), "");
	assert_int_equal(send(fd, "p\n", 2, MSG_NOSIGNAL), 2);
	tick();
	T_STR("whole", heard(fd), "ok\n");
	assert_int_equal(state_get(), STATE_STOPPED);
	(void)ask("start");
	close(fd);
}

static void silence_has_an_end(void **state)
{
	int fd = client("sta"), other;

	(void)state;
	for (int i = 0; i < 35; i++) /* less than two seconds */
		tick();
	T_STR("waited for", heard(fd), "");
	other = client("start\n");
	tick();
	T_STR("meanwhile", heard(other), "ok\n");
	for (int i = 0; i < 10; i++)
		tick();
	assert_null(heard(fd));
	close(fd);
	close(other);
}

static void the_one_silent_longest_makes_room(void **state)
{
	int fds[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client("s");
		tick();
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		const char *text = heard(fds[i]);

		assert_true(i < 2 ? !text : text && !*text);
		close(fds[i]);
	}
	tick();
}

static void a_slow_answer_holds_nobody_up(void **state)
{
	int first, second, third;

	(void)state;
	control_on_leaks(slow_check);
	steps_left = 100;
	leaks_rc = 0;
	leaks_text = "/tmp/b.leaks.snap";
	first = client("leaks\n");
	tick();
	second = client("leaks\n");
	third = client("start\n");
	tick();
	T_STR("second", heard(second), "error a leak check is under way already\n");
	T_STR("third", heard(third), "ok\n");
	for (int i = 0; i < 60; i++) /* beyond any deadline of a silent client */
		tick();
	T_STR("first", heard(first), "");
	for (int i = 0; i < 60; i++)
		tick();
	T_STR("first", heard(first), "ok /tmp/b.leaks.snap\n");
	close(first);
	steps_left = 3;
	first = client("leaks\n");
	tick();
	close(first); /* gone: the check goes on to its end, and the next can be asked for */
	for (int i = 0; i < 5; i++)
		tick();
	assert_false(control_is_busy());
	control_on_leaks(NULL);
	close(second);
	close(third);
}

/* Programs that close all descriptors, and open others. */
static void the_program_may_close_ours(void **state)
{
	int ours = highest(), file, fd;

	(void)state;
	assert_true(ours > 100);
	close(ours);
	file = open("/dev/zero", O_RDONLY);
	assert_int_equal(fcntl(file, F_DUPFD, ours), ours);
	for (int i = 0; i < 25; i++)
		tick();
	assert_true(there()); /* made anew */
	fd = client("start\n");
	tick();
	T_STR("answered", heard(fd), "ok\n");
	assert_int_equal(read(ours, answer, 1), 1); /* and what has the number now was left alone */
	close(ours);
	close(file);
	close(fd);
}

static void a_forked_child_leaves_it_alone(void **state)
{
	int ours = highest(), status = 1, fd;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		control_fork_child();
		control_socket_fork_child();
		control_socket_remove(true);
		_exit(fcntl(ours, F_GETFD) >= 0); /* inherited, and closed */
	}
	assert_true(waitpid(child, &status, 0) == child && status == 0);
	fd = client("start\n");
	tick();
	T_STR("answered", heard(fd), "ok\n");
	close(fd);
}

static void removed_for_good_stays_removed(void **state)
{
	(void)state;
	control_socket_remove(false); /* an exec that failed */
	assert_false(there());
	for (int i = 0; i < 25; i++)
		tick();
	assert_true(there());
	control_socket_remove(true);
	for (int i = 0; i < 50; i++)
		tick();
	assert_false(there());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_request),
		cmocka_unit_test(stop_and_start),
		cmocka_unit_test(options_that_do_not_change),
		cmocka_unit_test(options_change),
		cmocka_unit_test(long_answers_are_cut),
		cmocka_unit_test(a_leak_check_in_steps),
		cmocka_unit_test_setup_teardown(one_request_is_answered, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(silence_has_an_end, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(the_one_silent_longest_makes_room, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(a_slow_answer_holds_nobody_up, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(the_program_may_close_ours, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(a_forked_child_leaves_it_alone, open_socket, close_socket),
		cmocka_unit_test_setup_teardown(removed_for_good_stays_removed, open_socket, close_socket),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}

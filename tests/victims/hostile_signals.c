/* hostile_signals HOW: programs with their own ideas of signals, of SIGPROF among them. Ends with status 0, silent but for
 * "ok", when all was as POSIX has it. Each burns processor time, much of it in the kernel, so that samples hit. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHECK(ok)                                                                             \
	do {                                                                                  \
		if (!(ok)) {                                                                  \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #ok, strerror(errno)); \
			exit(1);                                                              \
		}                                                                             \
	} while (0)

static double cpu_seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void burn(double s)
{
	double end = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) + s;

	while (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) < end)
		continue;
}

/* ---- EINTR is fatal ---- */

struct ends {
	int epoll, pair[2], timed[2], pipe[2];
	char zeros[4096];
};

static void make_ends(struct ends *e)
{
	struct timeval limit = { 5, 0 };
	struct epoll_event event = { .events = EPOLLIN };

	e->epoll = epoll_create1(0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, e->pair) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, e->timed) == 0);
	CHECK(pipe(e->pipe) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK(setsockopt(e->timed[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
		CHECK(setsockopt(e->timed[i], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
	}
	CHECK(epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->pair[0], &event) == 0);
	memset(e->zeros, 0, sizeof(e->zeros));
}

/* The other side: sends a byte for each byte that arrives, so that waits are short and many. */
static void *echo(void *arg)
{
	struct ends *e = arg;
	char c;

	while (recv(e->timed[1], &c, 1, 0) == 1)
		CHECK(send(e->timed[1], &c, 1, 0) == 1);
	return NULL;
}

static void wait_shortly(struct ends *e, int i)
{
	struct timespec ts = { 0, 20000 }, when;
	struct timeval tv = { 0, 20 };
	struct pollfd p = { .fd = e->pair[0], .events = POLLIN };
	struct iovec v = { e->zeros, 1 };
	struct epoll_event event;
	sem_t never;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(e->pair[0], &set);
	switch (i % 11) {
	case 0:
		CHECK(poll(&p, 1, 0) == 0);
		break;
	case 1:
		CHECK(epoll_wait(e->epoll, &event, 1, 0) == 0);
		break;
	case 2:
		CHECK(nanosleep(&ts, NULL) == 0);
		break;
	case 3:
		CHECK(select(e->pair[0] + 1, &set, NULL, NULL, &tv) == 0);
		break;
	case 4:
		CHECK(ppoll(&p, 1, &ts, NULL) == 0);
		break;
	case 5:
		CHECK(usleep(10) == 0);
		break;
	case 6:
		CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL) == 0);
		break;
	case 7:
		CHECK(epoll_wait(e->epoll, &event, 1, 1) == 0);
		break;
	case 8:
		CHECK(sem_init(&never, 0, 0) == 0 && clock_gettime(CLOCK_REALTIME, &when) == 0);
		CHECK(sem_timedwait(&never, &when) == -1 && errno == ETIMEDOUT);
		break;
	case 9:
		CHECK(send(e->timed[0], "x", 1, 0) == 1);
		CHECK(read(e->timed[0], e->zeros, 1) == 1);
		break;
	default:
		CHECK(send(e->timed[0], "x", 1, 0) == 1);
		CHECK((i & 16 ? readv(e->timed[0], &v, 1) : recv(e->timed[0], e->zeros, 1, 0)) == 1);
		break;
	}
}

static void eintr_is_fatal(void)
{
	static struct ends e;
	pthread_t t;
	int in = open("/dev/zero", O_RDONLY), out = open("/dev/null", O_WRONLY);

	make_ends(&e);
	CHECK(pthread_create(&t, NULL, echo, &e) == 0);
	for (int i = 0; cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) < 1.2; i++) {
		for (int n = 0; n < 400; n++) {
			CHECK(read(in, e.zeros, 4096) == 4096);
			CHECK(write(out, e.zeros, 4096) == 4096);
		}
		wait_shortly(&e, i);
	}
	shutdown(e.timed[0], SHUT_RDWR);
	CHECK(pthread_join(t, NULL) == 0);
}

/* The opposite: a signal of the program's own that must interrupt. */
static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void eintr_is_wanted(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } };
	int wanted = 0;

	CHECK(sigaction(SIGALRM, &act, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		burn(0.0005);
		wanted += poll(NULL, 0, 1000) == -1 && errno == EINTR;
	}
	CHECK(wanted == 200);
}

/* ---- all signals blocked, and waited for ---- */

static void *waiter(void *arg)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	for (int i = 0; i < 300; i++) {
		burn(0.0005);
		CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
		CHECK(sigwait(&all, &sig) == 0);
		if (sig != SIGUSR1) {
			fprintf(stderr, "signal %d\n", sig);
			exit(1);
		}
	}
	return arg;
}

static void all_blocked(void)
{
	sigset_t all, seen;
	pthread_t t;
	struct timespec shortly = { 0, 100000 };

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &seen) == 0 && sigismember(&seen, SIGUSR2) &&
	      sigismember(&seen, SIGPROF));
	CHECK(pthread_create(&t, NULL, waiter, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		burn(0.0005);
		CHECK(sigtimedwait(&all, NULL, &shortly) == -1 && errno == EAGAIN);
	}
	CHECK(pthread_join(t, NULL) == 0);
}

static void by_descriptor(void)
{
	struct signalfd_siginfo info;
	sigset_t all;
	int fd;

	sigfillset(&all);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	fd = signalfd(-1, &all, SFD_NONBLOCK);
	for (int i = 0; i < 600; i++) {
		burn(0.0005);
		CHECK(read(fd, &info, sizeof(info)) == -1 && errno == EAGAIN);
	}
	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK(read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
}

/* SIGPROF as a message: blocked, sent, waited for; and pending until it is unblocked. */
static volatile sig_atomic_t profs;

static void on_prof(int sig)
{
	(void)sig;
	profs++;
}

static void own_blocked(void)
{
	struct timespec second = { 1, 0 };
	sigset_t prof;

	sigemptyset(&prof);
	sigaddset(&prof, SIGPROF);
	CHECK(sigprocmask(SIG_BLOCK, &prof, NULL) == 0);
	for (int i = 0; i < 50; i++) {
		burn(0.001);
		CHECK(kill(getpid(), SIGPROF) == 0);
		CHECK(sigtimedwait(&prof, NULL, &second) == SIGPROF);
	}
	signal(SIGPROF, on_prof);
	CHECK(kill(getpid(), SIGPROF) == 0);
	burn(0.002);
	CHECK(profs == 0);
	CHECK(sigprocmask(SIG_UNBLOCK, &prof, NULL) == 0);
	CHECK(profs == 1);
}

/* A profiler of the program's own. */
static void own_timer(void)
{
	struct sigaction act = { .sa_handler = on_prof, .sa_flags = SA_RESTART }, old;
	struct itimerval every = { { 0, 10000 }, { 0, 10000 } }, never = { { 0, 0 }, { 0, 0 } };

	CHECK(sigaction(SIGPROF, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(setitimer(ITIMER_PROF, &every, NULL) == 0);
	burn(1);
	CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
	/* About 100. A loaded machine has given 143 without any library; one of ours too many would be thousands. */
	if (profs < 30 || profs > 1000)
		fprintf(stderr, "%d signals\n", (int)profs);
	CHECK(profs >= 30 && profs <= 1000);
	CHECK(sigaction(SIGPROF, NULL, &old) == 0 && old.sa_handler == on_prof);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "eintr_is_fatal", eintr_is_fatal }, { "eintr_is_wanted", eintr_is_wanted },
		{ "all_blocked", all_blocked },       { "by_descriptor", by_descriptor },
		{ "own_blocked", own_blocked },       { "own_timer", own_timer },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(argv[1], all[i].name) == 0) {
			all[i].run();
			puts("ok");
			return 0;
		}
	}
	return 96;
}

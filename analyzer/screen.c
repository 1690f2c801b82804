#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "units.h"

#define ENTER "\033[?1049h\033[?25l\033[2J" /* the other page, no cursor, clear */
#define LEAVE "\033[?25h\033[?1049l"

static struct termios before;
static bool taken;
static volatile sig_atomic_t resized, quit, stopped;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else if (number == SIGTSTP)
		stopped = 1;
	else
		quit = 1;
}

static int write_all(const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(STDOUT_FILENO, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int take(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals from keys stay */
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
		return -errno;
	taken = true;
	return write_all(ENTER, strlen(ENTER));
}

int screen_begin(struct err *err)
{
	static const int signals[] = { SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGTSTP };
	struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: poll() is to return */
	int rc;

	if (tcgetattr(STDIN_FILENO, &before) < 0) {
		rc = -errno;
		return err_set(err, rc, "cannot take the terminal: %s", strerror(-rc));
	}
	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &action, NULL); /* fails for numbers that are no signals only */
	rc = take();
	return rc < 0 ? err_set(err, rc, "cannot take the terminal: %s", strerror(-rc)) : 0;
}

void screen_end(void)
{
	if (!taken)
		return;
	taken = false;
	(void)write_all(LEAVE, strlen(LEAVE)); /* where the terminal is gone there is nothing to put back */
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

void screen_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size = { 0 };

	*ret_columns = 80;
	*ret_rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		*ret_columns = size.ws_col;
		*ret_rows = size.ws_row;
	}
}

int screen_show(const struct buf *text)
{
	struct buf out = { 0 };
	int rc;

	buf_add_str(&out, "\033[H");
	for (size_t i = 0; i < text->len; i++)
		if (text->data[i] == '\n')
			buf_add_str(&out, "\033[K\r\n"); /* erases what stood there */
		else
			buf_add_char(&out, text->data[i]);
	buf_add_str(&out, "\033[K\033[J");
	rc = out.failed ? -ENOMEM : write_all(out.data, out.len);
	buf_done(&out);
	return rc;
}

/* ---- keys ---- */

/* What follows ESC, as xterm, the Linux console and tmux send it. */
static const struct {
	const char *text;
	int key;
} sequences[] = {
	{ "[A", SCREEN_UP },       { "OA", SCREEN_UP },         { "[B", SCREEN_DOWN },     { "OB", SCREEN_DOWN },
	{ "[5~", SCREEN_PAGE_UP }, { "[6~", SCREEN_PAGE_DOWN }, { "[H", SCREEN_HOME },     { "OH", SCREEN_HOME },
	{ "[1~", SCREEN_HOME },    { "[F", SCREEN_END },        { "OF", SCREEN_END },      { "[4~", SCREEN_END },
	{ "OP", SCREEN_F1 },       { "OQ", SCREEN_F1 + 1 },     { "OR", SCREEN_F1 + 2 },   { "OS", SCREEN_F1 + 3 },
	{ "[[A", SCREEN_F1 },      { "[[B", SCREEN_F1 + 1 },    { "[[C", SCREEN_F1 + 2 },  { "[[D", SCREEN_F1 + 3 },
	{ "[11~", SCREEN_F1 },     { "[12~", SCREEN_F1 + 1 },   { "[13~", SCREEN_F1 + 2 }, { "[14~", SCREEN_F1 + 3 },
	{ "[15~", SCREEN_F1 + 4 }, { "[17~", SCREEN_F1 + 5 },   { "[18~", SCREEN_F1 + 6 }, { "[19~", SCREEN_F1 + 7 },
	{ "[20~", SCREEN_F1 + 8 }, { "[21~", SCREEN_F10 },
};

enum { SEQUENCE_MAX = 8, SEQUENCE_WAIT_MS = 25 };

static bool wait_input(int timeout_ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* A byte of input, or -1. */
static int next_byte(void)
{
	unsigned char c;

	return read(STDIN_FILENO, &c, 1) == 1 ? c : -1;
}

/* ESC alone, or a key that sends more. */
static int read_sequence(void)
{
	char text[SEQUENCE_MAX + 1] = "";

	for (size_t n = 0; n < SEQUENCE_MAX && wait_input(SEQUENCE_WAIT_MS); n++) {
		int c = next_byte();

		if (c < 0)
			break;
		text[n] = (char)c;
		for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
			if (strcmp(sequences[i].text, text) == 0)
				return sequences[i].key;
		if (n > 0 && c >= '@' && c != '[') /* the end of one that is not known */
			break;
	}
	return text[0] ? SCREEN_OTHER : '\033';
}

static void stop_here(void)
{
	stopped = 0;
	screen_end();
	(void)raise(SIGSTOP);
	(void)take(); /* what fails here fails again when something is shown */
	resized = 1;
}

int screen_key(uint64_t timeout_ns)
{
	bool input = false;
	int c;

	if (!quit && !resized && !stopped)
		input = wait_input((int)(timeout_ns / NS_PER_MS));
	if (stopped)
		stop_here();
	if (quit)
		return SCREEN_QUIT;
	if (resized) {
		resized = 0;
		return SCREEN_RESIZED;
	}
	if (!input)
		return SCREEN_NONE;
	c = next_byte();
	if (c < 0)
		return SCREEN_QUIT; /* readable, and nothing there: the terminal is gone */
	return c == '\033' ? read_sequence() : c;
}

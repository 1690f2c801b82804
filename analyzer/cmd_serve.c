#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "cmd.h"
#include "serve.h"

enum { DEFAULT_PORT = 8765 };

struct options {
	uint64_t port;
	bool any_user;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "port", 'p', CLI_U64, "PORT", "on 127.0.0.1 (default: 8765; 0: any that is free)",
	  offsetof(struct options, port) },
	{ "any-user", 0, CLI_FLAG, NULL, "answer other users of this machine too", offsetof(struct options, any_user) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { .port = DEFAULT_PORT };
	struct serve_options options;
	struct serve *s;
	struct cli_args args;
	sigset_t ends;
	int rc = cmd_parse(&cmd_serve, argc, argv, &o, &args, 1, 1, err), sig;

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (o.port > UINT16_MAX)
		return err_set(err, -EINVAL, "--port takes a number up to 65535");
	options = (struct serve_options){ args.items[0], (uint16_t)o.port, o.any_user, &o.symbols };
	/* Before the server's thread is there: it takes none of them. */
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
	rc = serve_start(&options, &s, err);
	if (rc < 0)
		return rc;
	printf("http://127.0.0.1:%u/ shows %s; Ctrl-C ends it\n", serve_port(s), args.items[0]);
	(void)fflush(stdout); /* main() looks at it again */
	while (sigwait(&ends, &sig) == EINTR)
		;
	serve_stop(s);
	return 0;
}

const struct cli_command cmd_serve = {
	"serve",
	run,
	option_table,
	"DIR",
	"the page, live, over a directory of .snap and .live files, on loopback",
	"  probe-analyze serve /tmp/profiles\n"
	"  probe-analyze serve --port 0 /tmp/profiles        any free port; the first line of output says which\n",
};

/*
 * hook_process.c - ends of the process that run no exit handlers: _exit, and being replaced by exec.
 *
 * exec: a sample's signal that is still pending would meet a program without a handler and kill it. So sampling ends
 * first, with the signal unblocked; what was pending has arrived by the next system call's return.
 */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "compiler.h"
#include "finish.h"
#include "real.h"
#include "sampler.h"
#include "state.h"

static bool recording(void)
{
	return real_ready() && state_get() >= STATE_STOPPED;
}

EXPORT NORETURN void _exit(int status)
{
	if (recording())
		finish_process();
	real._exit(status);
	__builtin_unreachable();
}

EXPORT NORETURN void _Exit(int status)
{
	if (recording())
		finish_process();
	real._Exit(status);
	__builtin_unreachable();
}

EXPORT NORETURN void exit(int status)
{
	if (recording())
		finish_exit_called();
	real.exit(status);
	__builtin_unreachable();
}

static bool before_exec(void)
{
	if (!recording() || !finish_is_this_process())
		return false;
	finish_before_exec();
	sampler_thread_pause(&tls_self);
	return true;
}

/* Only a failed exec returns. */
static int after_exec(bool paused, int rc)
{
	int saved_errno = errno;

	if (paused)
		sampler_thread_resume(&tls_self);
	errno = saved_errno;
	return rc;
}

#define MISSING(name) (!real_ready() || !real.name)

EXPORT int execve(const char *path, char *const argv[], char *const env[])
{
	bool paused = before_exec();

	return after_exec(paused, real.execve(path, argv, env));
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const env[])
{
	bool paused;

	if (MISSING(execvpe))
		return real_not_there();
	paused = before_exec();
	return after_exec(paused, real.execvpe(file, argv, env));
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

EXPORT int fexecve(int fd, char *const argv[], char *const env[])
{
	bool paused;

	if (MISSING(fexecve))
		return real_not_there();
	paused = before_exec();
	return after_exec(paused, real.fexecve(fd, argv, env));
}

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	bool paused;

	if (MISSING(execveat))
		return real_not_there();
	paused = before_exec();
	return after_exec(paused, real.execveat(dir, path, argv, env, flags));
}

/* execl(path, arg, ..., NULL) and its like: the arguments as an array on the stack. execle's environment follows the NULL. */
#define COLLECT(argv, env, arg, with_env)                                    \
	do {                                                                 \
		va_list list_;                                               \
		size_t count_ = 1;                                           \
		va_start(list_, arg);                                        \
		while (va_arg(list_, char *))                                \
			count_++;                                            \
		(env) = (with_env) ? va_arg(list_, char *const *) : environ; \
		va_end(list_);                                               \
		(argv) = alloca((count_ + 1) * sizeof(char *));              \
		(argv)[0] = (char *)(uintptr_t)(arg);                        \
		va_start(list_, arg);                                        \
		for (size_t i_ = 1; i_ <= count_; i_++)                      \
			(argv)[i_] = va_arg(list_, char *);                  \
		va_end(list_);                                               \
	} while (0)

EXPORT int execl(const char *path, const char *arg, ...)
{
	char *const *env;
	char **argv;

	COLLECT(argv, env, arg, false);
	return execve(path, argv, env);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	char *const *env;
	char **argv;

	COLLECT(argv, env, arg, false);
	return execvpe(file, argv, env);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char *const *env;
	char **argv;

	COLLECT(argv, env, arg, true);
	return execve(path, argv, env);
}

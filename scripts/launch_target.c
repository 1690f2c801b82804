/*
 * launch_target.c - reasons why LD_PRELOAD would have no effect, found before the program runs and not after.
 *
 * The loader ignores LD_PRELOAD in secure-execution mode (ld.so(8): set-user-ID, set-group-ID, file capabilities), a
 * static program has no loader, and a library of another machine or C library is refused.
 */
#include "launch_target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPT_LEVELS = 4, HEAD_BYTES = 4096 };

#if defined(__x86_64__)
enum { MACHINE_HERE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE_HERE = EM_AARCH64 };
#else
#error "perfprobe knows x86-64 and aarch64"
#endif

/* 0 if `path` is a file that may be executed; else -ENOENT or -EACCES. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int launch_target_find(const char *name, char *ret_path, size_t size)
{
	const char *path = getenv("PATH");
	int worst = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/')) {
		if ((size_t)snprintf(ret_path, size, "%s", name) >= size)
			return -ENOENT;
		return executable(ret_path);
	}
	if (!path)
		path = "/bin:/usr/bin"; /* what execvp() takes, confstr(_CS_PATH) */
	for (;;) {
		size_t len = strcspn(path, ":");
		int n = snprintf(ret_path, size, "%.*s%s%s", (int)len, path, len ? "/" : "", name);

		if (n > 0 && (size_t)n < size) {
			int rc = executable(ret_path);

			if (rc == 0)
				return 0;
			if (rc == -EACCES)
				worst = rc;
		}
		if (!path[len])
			return worst;
		path += len + 1;
	}
}

/* The word at *at, cut out in place; *at moves behind it. NULL at the end of the line. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t");
	size_t len = strcspn(word, " \t");

	if (len == 0)
		return NULL;
	*at = word + len + (word[len] != '\0');
	word[len] = '\0';
	return word;
}

/* The program that runs the script whose first line is `line` ("#!..."): the interpreter, or what `env` would look up.
 * False if there is none that could be found. */
static bool interpreter_of(char *line, char *ret_path, size_t size)
{
	char *at = line + 2, *word, *base;

	line[strcspn(line, "\r\n")] = '\0';
	word = next_word(&at);
	if (!word)
		return false;
	base = strrchr(word, '/');
	if (base && strcmp(base, "/env") == 0) {
		char *name = next_word(&at);

		while (name && (name[0] == '-' || strchr(name, '='))) /* env -S NAME=VALUE ... */
			name = next_word(&at);
		return name && launch_target_find(name, ret_path, size) == 0;
	}
	return (size_t)snprintf(ret_path, size, "%s", word) < size;
}

static void warn_privileges(int fd, const char *path, struct buf *out)
{
	struct stat st;
	const char *what = NULL;

	if (fstat(fd, &st) < 0)
		return;
	if ((st.st_mode & S_ISUID) && st.st_uid != geteuid())
		what = "set-user-ID";
	else if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid())
		what = "set-group-ID";
	else if (geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		what = "given file capabilities";
	if (what)
		buf_printf(out, "%s is %s: the loader ignores LD_PRELOAD for it, so nothing will be recorded\n", path,
		           what);
}

/* The loader that a dynamic program names, or what is missing. The header has been checked to be ELF-64 of this machine. */
static void warn_loader(int fd, const Elf64_Ehdr *ehdr, const char *path, struct buf *out)
{
	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		Elf64_Phdr phdr;
		char interp[PATH_MAX] = { 0 };
		off_t at = (off_t)(ehdr->e_phoff + (uint64_t)i * ehdr->e_phentsize);

		if (pread(fd, &phdr, sizeof(phdr), at) != (ssize_t)sizeof(phdr))
			return; /* cut short: the kernel will say so */
		if (phdr.p_type != PT_INTERP)
			continue;
		if (phdr.p_filesz >= sizeof(interp) ||
		    pread(fd, interp, phdr.p_filesz, (off_t)phdr.p_offset) != (ssize_t)phdr.p_filesz)
			return;
		if (!strstr(interp, "ld-linux"))
			buf_printf(out, "%s is loaded by %s, not by glibc's loader: libperfprobe.so needs glibc\n",
			           path, interp);
		return;
	}
	buf_printf(out, "%s is statically linked: no library can be preloaded, so nothing will be recorded\n", path);
}

static void warn_elf(int fd, const uint8_t *head, size_t len, const char *path, struct buf *out)
{
	Elf64_Ehdr ehdr;

	if (head[EI_CLASS] != ELFCLASS64) {
		buf_printf(out, "%s is a 32-bit program: libperfprobe.so is for 64 bits\n", path);
		return;
	}
	if (len < sizeof(ehdr))
		return;
	memcpy(&ehdr, head, sizeof(ehdr));
	if (ehdr.e_machine != MACHINE_HERE) {
		buf_printf(out, "%s is for another kind of machine (ELF machine %u)\n", path, ehdr.e_machine);
		return;
	}
	if (ehdr.e_phentsize == sizeof(Elf64_Phdr))
		warn_loader(fd, &ehdr, path, out);
}

void launch_target_warn(const char *path, struct buf *ret_sentences)
{
	char now[PATH_MAX], next[PATH_MAX];

	if ((size_t)snprintf(now, sizeof(now), "%s", path) >= sizeof(now))
		return;
	for (int level = 0; level < SCRIPT_LEVELS; level++) {
		char head[HEAD_BYTES + 1] = { 0 };
		int fd = open(now, O_RDONLY | O_CLOEXEC);
		ssize_t len;

		if (fd < 0)
			return;
		len = read(fd, head, HEAD_BYTES);
		if (len >= EI_NIDENT && memcmp(head, ELFMAG, SELFMAG) == 0) {
			warn_privileges(fd, now, ret_sentences);
			warn_elf(fd, (const uint8_t *)head, (size_t)len, now, ret_sentences);
			close(fd);
			return;
		}
		close(fd);
		if (len < 3 || head[0] != '#' || head[1] != '!' || !interpreter_of(head, next, sizeof(next)))
			return;
		memcpy(now, next, sizeof(now));
	}
}

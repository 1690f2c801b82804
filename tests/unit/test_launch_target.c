/* Tests of launch_target.c: finding a command, and judging made-up program files. */
#include "t.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "launch_target.h"

static char dir[] = "/tmp/perfprobe-test-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir); /* fails if a test left a file */
}

static void write_file(const char *name, const void *data, size_t len, mode_t mode, char *ret_path, size_t size)
{
	FILE *file;

	(void)snprintf(ret_path, size, "%s/%s", dir, name);
	file = fopen(ret_path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(ret_path, mode), 0);
}

/* Header, one program header, room for the interpreter's name. */
struct program {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	char interp[64];
};

static struct program program_make(const char *interp)
{
	struct program p = { 0 };

	memcpy(p.ehdr.e_ident, ELFMAG, SELFMAG);
	p.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	p.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	p.ehdr.e_type = ET_DYN;
#if defined(__x86_64__)
	p.ehdr.e_machine = EM_X86_64;
#else
	p.ehdr.e_machine = EM_AARCH64;
#endif
	p.ehdr.e_phoff = offsetof(struct program, phdr);
	p.ehdr.e_phentsize = sizeof(Elf64_Phdr);
	p.ehdr.e_phnum = 1;
	p.phdr.p_type = interp ? PT_INTERP : PT_LOAD;
	p.phdr.p_offset = offsetof(struct program, interp);
	if (interp) {
		(void)snprintf(p.interp, sizeof(p.interp), "%s", interp);
		p.phdr.p_filesz = strlen(interp) + 1;
	}
	return p;
}

enum spoil { NOTHING, CLASS_32, OTHER_MACHINE, CUT_IN_HEADER, CUT_IN_TABLE, WILD_TABLE, HUGE_INTERP };

static const struct {
	const char *name, *interp;
	enum spoil spoil;
	const char *sentence; /* NULL: none */
} programs[] = {
	{ "dynamic", "/lib64/ld-linux-x86-64.so.2", NOTHING, NULL },
	{ "static", NULL, NOTHING, "statically linked" },
	{ "musl", "/lib/ld-musl-x86_64.so.1", NOTHING, "needs glibc" },
	{ "32 bits", "/lib/ld-linux.so.2", CLASS_32, "32-bit program" },
	{ "other machine", "/lib64/ld-linux-x86-64.so.2", OTHER_MACHINE, "another kind of machine" },
	{ "cut in the header", NULL, CUT_IN_HEADER, NULL },
	{ "cut in the table", NULL, CUT_IN_TABLE, NULL },
	{ "table far outside", NULL, WILD_TABLE, NULL },
	{ "interpreter too long", "/lib64/ld-linux-x86-64.so.2", HUGE_INTERP, NULL },
};

static void check_program(size_t i, mode_t mode, const char *sentence)
{
	struct program p = program_make(programs[i].interp);
	size_t len = sizeof(p);
	struct buf out = { 0 };
	char path[256];

	switch (programs[i].spoil) {
	case CLASS_32:
		p.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
		break;
	case OTHER_MACHINE:
		p.ehdr.e_machine = EM_S390;
		break;
	case CUT_IN_HEADER:
		len = EI_NIDENT + 4;
		break;
	case CUT_IN_TABLE:
		len = offsetof(struct program, phdr) + 8;
		break;
	case WILD_TABLE:
		p.ehdr.e_phoff = UINT64_MAX - 7;
		break;
	case HUGE_INTERP:
		p.phdr.p_filesz = UINT64_MAX;
		break;
	case NOTHING:
		break;
	}
	write_file("program", &p, len, mode, path, sizeof(path));
	launch_target_warn(path, &out);
	if (sentence)
		T_CHECK(programs[i].name, out.data && strstr(out.data, sentence) && strstr(out.data, path));
	else
		T_CHECK(programs[i].name, out.len == 0);
	buf_done(&out);
	assert_int_equal(unlink(path), 0);
}

static void programs_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		check_program(i, 0755, programs[i].sentence);
}

/* A set-user-ID program of one's own is no other user's: the loader does not go into secure mode. */
static void own_setuid_is_harmless(void **state)
{
	(void)state;
	check_program(0, 04755, NULL);
}

static void foreign_setuid_is_told(void **state)
{
	struct program p = program_make("/lib64/ld-linux-x86-64.so.2");
	struct buf out = { 0 };
	char path[256];

	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can make a file of somebody else's */
	write_file("program", &p, sizeof(p), 0755, path, sizeof(path));
	assert_int_equal(chown(path, 1, 1), 0);
	assert_int_equal(chmod(path, 04755), 0);
	launch_target_warn(path, &out);
	assert_non_null(out.data);
	assert_non_null(strstr(out.data, "set-user-ID"));
	buf_clear(&out);
	assert_int_equal(chmod(path, 02755), 0);
	launch_target_warn(path, &out);
	assert_non_null(strstr(out.data, "set-group-ID"));
	buf_done(&out);
	assert_int_equal(unlink(path), 0);
}

/* Scripts are judged by what runs them; %s is a made-up static program. */
static const struct {
	const char *name, *line;
	bool told;
} scripts[] = {
	{ "interpreter", "#!%s\n", true },
	{ "with an argument", "#!%s -x\nmore\n", true },
	{ "blanks before", "#! \t%s\n", true },
	{ "no newline", "#!%s", true },
	{ "carriage return", "#!%s\r\n", true },
	{ "env", "#!/usr/bin/env static-program\n", true },
	{ "env with options", "#!/usr/bin/env -S A=B static-program -q\n", true },
	{ "env of nothing", "#!/usr/bin/env\n", false },
	{ "env of an unknown name", "#!/usr/bin/env no-such-program-anywhere\n", false },
	{ "shell", "#!/bin/sh\n", false },
	{ "empty line", "#!\n", false },
	{ "only blanks", "#!  \n", false },
	{ "interpreter that is not there", "#!/nowhere/at/all\n", false },
	{ "text", "echo hello\n", false },
};

static void scripts_are_followed(void **state)
{
	struct program p = program_make(NULL);
	const char *path_was = getenv("PATH");
	char *path_copy = strdup(path_was ? path_was : "");
	char interp[256], script[256], line[512];

	(void)state;
	write_file("static-program", &p, sizeof(p), 0755, interp, sizeof(interp));
	(void)snprintf(line, sizeof(line), "%s:/usr/bin:/bin", dir);
	assert_int_equal(setenv("PATH", line, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct buf out = { 0 };
		const char *hole = strstr(scripts[i].line, "%s");

		if (hole)
			(void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(hole - scripts[i].line), scripts[i].line,
			               interp, hole + 2);
		else
			(void)snprintf(line, sizeof(line), "%s", scripts[i].line);
		write_file("script", line, strlen(line), 0755, script, sizeof(script));
		launch_target_warn(script, &out);
		T_CHECK(scripts[i].name, (out.data && strstr(out.data, "statically linked")) == scripts[i].told);
		buf_done(&out);
		assert_int_equal(unlink(script), 0);
	}
	assert_int_equal(setenv("PATH", path_copy, 1), 0);
	free(path_copy);
	assert_int_equal(unlink(interp), 0);
}

/* A script whose interpreter is itself must end. */
static void script_loop_ends(void **state)
{
	struct buf out = { 0 };
	char script[256], line[512];

	(void)state;
	(void)snprintf(line, sizeof(line), "#!%s/script\n", dir);
	write_file("script", line, strlen(line), 0755, script, sizeof(script));
	launch_target_warn(script, &out);
	assert_int_equal(out.len, 0);
	assert_int_equal(unlink(script), 0);
}

static void commands_are_found(void **state)
{
	char path[256], file[256], small[8];

	(void)state;
	assert_int_equal(launch_target_find("sh", path, sizeof(path)), 0);
	assert_int_equal(access(path, X_OK), 0);
	assert_int_equal(launch_target_find("/bin/sh", path, sizeof(path)), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(launch_target_find("", path, sizeof(path)), -ENOENT);
	assert_int_equal(launch_target_find("no-such-program-anywhere", path, sizeof(path)), -ENOENT);
	assert_int_equal(launch_target_find("/nowhere/at/all", path, sizeof(path)), -ENOENT);
	assert_int_equal(launch_target_find("/", path, sizeof(path)), -EACCES);
	assert_int_equal(launch_target_find("/a/path/longer/than/its/room", small, sizeof(small)), -ENOENT);
	write_file("plain", "x", 1, 0644, file, sizeof(file));
	assert_int_equal(launch_target_find(file, path, sizeof(path)), -EACCES);
	assert_int_equal(unlink(file), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_judged),    cmocka_unit_test(own_setuid_is_harmless),
		cmocka_unit_test(foreign_setuid_is_told), cmocka_unit_test(scripts_are_followed),
		cmocka_unit_test(script_loop_ends),       cmocka_unit_test(commands_are_found),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

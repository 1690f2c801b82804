#include "snapshot_name.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "os_linux.h"
#include "say.h"

void snapshot_name_start(char *name, size_t size)
{
	char digits[24];

	snapshot_name_comm(name, 20);
	for (char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
		      strchr("_-+:@", *c)))
			*c = '_';
	say_append(name, size, ".");
	say_append(name, size, say_number(digits, (uint64_t)os_pid()));
}

void snapshot_name(char *name, size_t size, uint32_t sequence, const char *reason)
{
	char digits[24];

	snapshot_name_start(name, size);
	say_append(name, size, sequence < 10 ? ".000" : sequence < 100 ? ".00" : sequence < 1000 ? ".0" : ".");
	say_append(name, size, say_number(digits, sequence));
	say_append(name, size, ".");
	say_append(name, size, reason);
}

void snapshot_name_comm(char *ret_comm, size_t size)
{
	ssize_t n;

	/* 16 bytes: the calling thread's name, and the process's is the first thread's. */
	if (os_tid() == os_pid() && os_call(SYS_prctl, PR_GET_NAME, (long)ret_comm, 0, 0, 0, 0) == 0)
		return;
	n = os_read_file("/proc/self/comm", ret_comm, size);
	if (n <= 0)
		memcpy(ret_comm, "unknown", 8);
	else if (ret_comm[n - 1] == '\n')
		ret_comm[n - 1] = '\0';
}

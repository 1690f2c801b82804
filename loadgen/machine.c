/* machine.c - /proc/stat, and addresses of this machine's own. */
#include "machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "net.h"

enum { FIELDS = 8 }; /* user, nice, system, idle, iowait, irq, softirq, steal */

struct machine_cpu machine_cpu(void)
{
	struct machine_cpu cpu = { 0 };
	unsigned long long field[FIELDS] = { 0 };
	FILE *in = fopen("/proc/stat", "re");

	if (!in)
		return cpu;
	if (fscanf(in, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &field[0], &field[1], &field[2], &field[3],
	           &field[4], &field[5], &field[6], &field[7]) == FIELDS) {
		for (int i = 0; i < FIELDS; i++)
			cpu.all += field[i];
		cpu.busy = cpu.all - field[3] - field[4];
	}
	(void)fclose(in); /* only read */
	return cpu;
}

/* Connected to itself: a socket whose own address is the other's. No packet is sent. */
static bool is_local(const union net_address *to)
{
	union net_address own;
	socklen_t bytes = sizeof(own);
	int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool same = false;

	if (fd < 0)
		return false;
	if (connect(fd, &to->any, to->any.sa_family == AF_INET6 ? sizeof(to->in6) : sizeof(to->in)) == 0 &&
	    getsockname(fd, &own.any, &bytes) == 0)
		same = to->any.sa_family == AF_INET6 ? IN6_ARE_ADDR_EQUAL(&own.in6.sin6_addr, &to->in6.sin6_addr)
		                                     : own.in.sin_addr.s_addr == to->in.sin_addr.s_addr;
	(void)close(fd);
	return same;
}

void machine_judge(const struct net_addresses *addresses, struct machine_cpu before, struct result *r)
{
	struct machine_cpu now = machine_cpu();
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	r->cpus = cpus > 0 ? (uint64_t)cpus : 1;
	if (now.all > before.all && now.busy >= before.busy)
		r->machine_busy = (double)(now.busy - before.busy) / (double)(now.all - before.all);
	r->target_is_local = addresses->count > 0 && is_local(&addresses->items[0]);
}

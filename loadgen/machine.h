/* The machine that drives: how busy all of its CPUs are, and is the target on it, too? Main thread. */
#pragma once
#include <stdint.h>

struct net_addresses;
struct result;

struct machine_cpu {
	uint64_t busy, all; /* ticks of all CPUs since boot; 0: unknown */
};

struct machine_cpu machine_cpu(void);
/* Fills in target_is_local, machine_busy (since `before`) and cpus. */
void machine_judge(const struct net_addresses *addresses, struct machine_cpu before, struct result *r);

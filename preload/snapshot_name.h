/* Names of the files of a process.
 * Context    as snapshot_write.h. `size` is at least 64. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* COMM.PID; characters that shells and file systems trip over become '_'. */
void snapshot_name_start(char *name, size_t size);
/* COMM.PID.SEQ.REASON */
void snapshot_name(char *name, size_t size, uint32_t sequence, const char *reason);
/* What the kernel calls the process; here `size` is 17 at least. */
void snapshot_name_comm(char *ret_comm, size_t size);

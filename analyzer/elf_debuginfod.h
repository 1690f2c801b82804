/* Debug files from servers (debuginfod(8)), by build-id: only when the user asks for it. The client library is opened at run
 * time: who does not ask does not need it. Hosted programs; one thread at a time. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct elf_debuginfod;

/* -ENOENT without the library, -EDESTADDRREQ without $DEBUGINFOD_URLS: with a sentence. */
int elf_debuginfod_open(struct elf_debuginfod **ret, struct err *err) MUST_USE;
void elf_debuginfod_close(struct elf_debuginfod *d);
/* Where the debug file has been put; false if no server has it. */
bool elf_debuginfod_find(struct elf_debuginfod *d, const uint8_t *id, size_t id_bytes, char ret_path[PATH_MAX]);

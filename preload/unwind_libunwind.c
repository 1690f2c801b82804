#include "unwind_libunwind.h"

#include <dlfcn.h>
#include <string.h>
#include <ucontext.h>

#include "arch.h"
#include "compiler.h"
#include "losses.h"
#include "os_linux.h"
#include "snapshot_layout.h"
#include "unwind.h"

/* Interface of libunwind 1.6 (libunwind-x86_64.h, libunwind-aarch64.h): the context is a ucontext_t, the cursor 127 or 250
 * words, registers have their DWARF numbers, and that of the return address's column gives the pc; flag 1 = the context was
 * delivered by a signal. */
enum { CURSOR_WORDS = 250, INIT_SIGNAL_FRAME = 1 };

static struct {
	int (*init_local2)(void *cursor, void *context, int flags);
	int (*step)(void *cursor);
	int (*get_reg)(void *cursor, int reg, uintptr_t *ret);
} lib;

static void *find(void *handle, const char *name)
{
	return dlsym(handle, name);
}

bool unwind_libunwind_init(void)
{
	void *handle = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return false;
	*(void **)&lib.init_local2 = find(handle, ARCH_LIBUNWIND "init_local2");
	*(void **)&lib.step = find(handle, ARCH_LIBUNWIND "step");
	*(void **)&lib.get_reg = find(handle, ARCH_LIBUNWIND "get_reg");
	return lib.init_local2 && lib.step && lib.get_reg;
}

/* The pc below such a frame is exact. unw_is_signal_frame() of 1.6 says no when call frame information
 * led through it. */
bool unwind_is_trampoline(uintptr_t pc)
{
	const uint8_t *code = (const uint8_t *)pc;

	return os_readable(code) && os_readable(code + ARCH_TRAMPOLINE_BYTES - 1) && arch_is_trampoline(code);
}

/* A ucontext with the registers of `start`; libunwind reads only registers. */
static void make_context(const struct unwind_start *start, ucontext_t *uc)
{
	memset(uc, 0, sizeof(*uc));
	for (unsigned i = 0; start->regs && i < DW_REGS; i++)
		arch_set_register(uc, i, start->regs[i]);
	arch_set_register(uc, DW_PC, start->pc);
	arch_set_register(uc, DW_SP, start->sp);
	arch_set_register(uc, DW_FP, start->fp);
}

size_t unwind_libunwind_walk(const struct unwind_start *start, uintptr_t *pcs, size_t max)
{
	uintptr_t cursor[CURSOR_WORDS];
	bool exact = start->pc_is_exact;
	uintptr_t pc = start->pc;
	ucontext_t uc;
	size_t n = 0;
	int rc;

	make_context(start, &uc);
	pcs[n++] = exact ? start->pc : start->pc - 1;
	/* Without the flag libunwind takes the pc for a return address. */
	if (lib.init_local2(cursor, &uc, exact ? INIT_SIGNAL_FRAME : 0) < 0)
		rc = -1;
	else
		rc = 1;
	while (rc > 0 && n < max - 1) {
		exact = unwind_is_trampoline(pc);
		rc = lib.step(cursor);
		if (rc <= 0 || lib.get_reg(cursor, DW_RA, &pc) < 0 || pc == 0)
			break;
		pcs[n++] = exact ? pc : pc - 1;
	}
	if (rc != 0) {
		loss_add(LOSS_UNWIND_TRUNCATED, 1);
		pcs[n++] = SNAP_PC_TRUNCATED;
	}
	return n;
}

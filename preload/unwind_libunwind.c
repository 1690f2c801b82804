#include "unwind_libunwind.h"

#include <dlfcn.h>
#include <string.h>
#include <ucontext.h>

#include "compiler.h"
#include "eh_frame.h"
#include "losses.h"
#include "snapshot_layout.h"
#include "unwind.h"

/* Interface of libunwind 1.6, x86-64 (libunwind-x86_64.h): the context is a ucontext_t, the cursor 127 words, registers
 * have their DWARF numbers; flag 1 = the context was delivered by a signal. */
enum { CURSOR_WORDS = 127, INIT_SIGNAL_FRAME = 1 };

static struct {
	int (*init_local2)(void *cursor, void *context, int flags);
	int (*step)(void *cursor);
	int (*get_reg)(void *cursor, int reg, uintptr_t *ret);
	int (*is_signal_frame)(void *cursor);
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
	*(void **)&lib.init_local2 = find(handle, "_ULx86_64_init_local2");
	*(void **)&lib.step = find(handle, "_ULx86_64_step");
	*(void **)&lib.get_reg = find(handle, "_ULx86_64_get_reg");
	*(void **)&lib.is_signal_frame = find(handle, "_ULx86_64_is_signal_frame");
	return lib.init_local2 && lib.step && lib.get_reg && lib.is_signal_frame;
}

/* A ucontext with the registers of `start`; libunwind reads only gregs. */
static void make_context(const struct unwind_start *start, ucontext_t *uc)
{
	memset(uc, 0, sizeof(*uc));
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)start->pc;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)start->sp;
	uc->uc_mcontext.gregs[REG_RBP] = (greg_t)start->fp;
	if (start->regs) {
		uc->uc_mcontext.gregs[REG_RBX] = (greg_t)start->regs[DW_RBX];
		uc->uc_mcontext.gregs[REG_R12] = (greg_t)start->regs[12];
		uc->uc_mcontext.gregs[REG_R13] = (greg_t)start->regs[13];
		uc->uc_mcontext.gregs[REG_R14] = (greg_t)start->regs[14];
		uc->uc_mcontext.gregs[REG_R15] = (greg_t)start->regs[15];
	}
}

size_t unwind_libunwind_walk(const struct unwind_start *start, uintptr_t *pcs, size_t max)
{
	uintptr_t cursor[CURSOR_WORDS];
	bool exact = start->pc_is_exact;
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
		uintptr_t pc;

		exact = lib.is_signal_frame(cursor) > 0;
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

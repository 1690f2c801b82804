#include "unwind_libunwind.h"

#include <dlfcn.h>
#include <string.h>
#include <ucontext.h>

#include "compiler.h"
#include "eh_frame.h"
#include "losses.h"
#include "os_linux.h"
#include "snapshot_layout.h"
#include "unwind.h"

/* Interface of libunwind 1.6, x86-64 (libunwind-x86_64.h): the context is a ucontext_t, the cursor 127 words, registers
 * have their DWARF numbers; flag 1 = the context was delivered by a signal. */
enum { CURSOR_WORDS = 127, INIT_SIGNAL_FRAME = 1 };

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
	*(void **)&lib.init_local2 = find(handle, "_ULx86_64_init_local2");
	*(void **)&lib.step = find(handle, "_ULx86_64_step");
	*(void **)&lib.get_reg = find(handle, "_ULx86_64_get_reg");
	return lib.init_local2 && lib.step && lib.get_reg;
}

/* mov $15, %rax; syscall: the pc below such a frame is exact. unw_is_signal_frame() of 1.6 says no when call frame information
 * led through it. */
bool unwind_is_trampoline(uintptr_t pc)
{
	static const uint8_t code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05 };

	return os_readable((const void *)pc) && os_readable((const char *)pc + sizeof(code) - 1) &&
	       memcmp((const void *)pc, code, sizeof(code)) == 0;
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

/* Memory that is no heap and holds the only pointer: segments of the program, mappings of all kinds, the stack's upper end. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "leaks.h"

SITE(lost)
SITE(kept)

#define PAGE 4096UL
#define POOL (16 * PAGE)

static void *volatile data_word = (void *)1; /* NOLINT: not zero, so it lies in the data segment */
static void *volatile bss_word;
static void *sealed[PAGE / sizeof(void *)] __attribute__((aligned(4096)));
/* The address of a variable, which the loader fills in: the table lands in the part that is read-only afterwards. */
static void *const volatile relro[PAGE / sizeof(void *)] __attribute__((aligned(4096))) = { (void *)&bss_word };
static void *early_pool;

__attribute__((constructor)) static void before_main(void)
{
	early_pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void **map(size_t bytes, int flags)
{
	void **pool = (void **)mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (pool == MAP_FAILED)
		abort();
	return pool;
}

/* Where a pool holds a block: not at its beginning. */
#define SLOT 777

static void hold_in(void **pool)
{
	pool[SLOT] = kept(80);
	KEPT(kept, 1, 80);
}

static void case_data_segment(void)
{
	data_word = kept(80);
	KEPT(kept, 1, 80);
}

static void case_bss_segment(void)
{
	bss_word = kept(80);
	KEPT(kept, 1, 80);
}

static void protect(const volatile void *address, size_t bytes, int rights)
{
	if (mprotect((void *)(uintptr_t)address, bytes, rights) != 0)
		abort();
}

/* Filled once, then made read-only: a table of the program's own. */
static void case_table_sealed_after_init(void)
{
	sealed[100] = kept(80);
	protect(sealed, PAGE, PROT_READ);
	KEPT(kept, 1, 80);
}

static void case_relro_opened_and_sealed(void)
{
	protect(relro, PAGE, PROT_READ | PROT_WRITE);
	*(void *volatile *)(uintptr_t)&relro[5] = kept(80);
	protect(relro, PAGE, PROT_READ);
	KEPT(kept, 1, 80);
}

static void case_mapped_pool(void)
{
	hold_in(map(POOL, MAP_PRIVATE));
}

/* Past every interposed function. */
static void case_pool_mapped_by_syscall(void)
{
	hold_in((void **)syscall(SYS_mmap, NULL, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	                         0)); /* NOLINT */
}

static void case_pool_mapped_before_main(void)
{
	hold_in((void **)early_pool);
}

static void case_pool_made_read_only(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	hold_in(pool);
	protect(pool, POOL, PROT_READ);
}

static void case_pool_of_huge_pages(void)
{
	void **pool = map(8UL << 20, MAP_PRIVATE);

	(void)madvise(pool, 8UL << 20, MADV_HUGEPAGE);
	hold_in(pool);
}

static void case_pool_of_code(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	hold_in(pool);
	protect(pool, POOL, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void case_shared_anonymous(void)
{
	hold_in(map(POOL, MAP_SHARED));
}

static void **map_file(int flags)
{
	int fd = memfd_create("leaks", MFD_CLOEXEC);
	void **pool;

	if (fd < 0 || ftruncate(fd, POOL) != 0)
		abort();
	pool = (void **)mmap(NULL, POOL, PROT_READ | PROT_WRITE, flags, fd, 0);
	close(fd);
	if (pool == MAP_FAILED)
		abort();
	return pool;
}

static void case_shared_file(void)
{
	hold_in(map_file(MAP_SHARED));
}

static void case_private_file_written_to(void)
{
	hold_in(map_file(MAP_PRIVATE));
}

/* A page that the file no longer has is in the way: it cannot be read. */
static void case_file_cut_short(void)
{
	int fd = memfd_create("leaks", MFD_CLOEXEC);
	void **pool;

	if (fd < 0 || ftruncate(fd, POOL) != 0)
		abort();
	pool = (void **)mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	hold_in(pool);
	if (ftruncate(fd, 4 * PAGE) != 0)
		abort();
	close(fd);
}

/* What a pool pointed to before it was given back is lost. */
static void case_pool_unmapped(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	pool[SLOT] = lost(80);
	munmap(pool, POOL);
	DIRECT(lost, 1, 80);
}

static void case_pool_emptied(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	pool[SLOT] = lost(80);
	if (madvise(pool, POOL, MADV_DONTNEED) != 0)
		abort();
	DIRECT(lost, 1, 80);
}

static void case_pool_moved(void)
{
	void **pool = map(POOL, MAP_PRIVATE), **moved;

	pool[SLOT] = kept(80);
	moved = (void **)mremap(pool, POOL, 64 * POOL, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		abort();
	KEPT(kept, 1, 80);
}

/* A forked copy of the process does not have this memory, or finds it empty: the program has it all the same. */
static void case_pool_not_copied_by_fork(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	hold_in(pool);
	if (madvise(pool, POOL, MADV_DONTFORK) != 0)
		abort();
}

static void case_pool_wiped_by_fork(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	hold_in(pool);
	if (madvise(pool, POOL, MADV_WIPEONFORK) != 0)
		abort();
}

/* Unmapped, it is a hole like any other: what malloc puts there later is no root. */
static void case_pool_not_copied_unmapped(void)
{
	size_t bytes = (1 << 20) + PAGE;
	void **pool = map(bytes, MAP_PRIVATE), **block;

	if (madvise(pool, bytes, MADV_DONTFORK) != 0 || munmap(pool, bytes) != 0)
		abort();
	block = (void **)lost(1 << 20);
	block[SLOT] = lost(72);
	ESCAPE(block);
	DIRECT(lost, 1, 1 << 20);
	INDIRECT(lost, 1, 72);
}

static void case_pool_copied_again(void)
{
	void **pool = map(POOL, MAP_PRIVATE);

	if (madvise(pool, POOL, MADV_DONTFORK) != 0 || madvise(pool, POOL / 2, MADV_DOFORK) != 0)
		abort();
	hold_in(pool);
	pool[POOL / 2 / sizeof(*pool) + SLOT] = kept(80);
	KEPT(kept, 1, 80);
}

/* 16 TB of which one page was written: nobody may look at all the others, and what comes after it is searched. */
static void case_in_reservation_of_terabytes(void)
{
	size_t bytes = (size_t)1 << 44;
	void **after = map(POOL, MAP_PRIVATE), **pool = map(bytes, MAP_PRIVATE | MAP_NORESERVE);

	hold_in(pool);
	hold_in(after);
	(void)lost(48);
	DIRECT(lost, 1, 48);
}

/* Two pools and a hole between them: one mapping for the kernel at first, then two. */
static void case_pool_with_a_hole(void)
{
	char *pool = (char *)map(POOL, MAP_PRIVATE);

	munmap(pool + 4 * PAGE, PAGE);
	hold_in((void **)(void *)pool);
	*(void **)(void *)(pool + 5 * PAGE) = kept(80);
	state("keep always -", "kept", 1, 80);
}

/* Beside a large block of malloc, which is a mapping of its own: the kernel makes one of both. */
static void case_pool_beside_huge_block(void)
{
	char *block = (char *)kept(1 << 20);
	char *below = (char *)((uintptr_t)block & ~(PAGE - 1)) - POOL; /* NOLINT */
	void **pool = (void **)mmap(below, POOL, PROT_READ | PROT_WRITE,
	                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	bss_word = block;
	if (pool == MAP_FAILED) /* somebody is there: then as it comes */
		pool = map(POOL, MAP_PRIVATE);
	hold_in(pool);
	KEPT(kept, 1, 1 << 20);
}

/* Below the memory that malloc gives to other threads: mapped at a multiple of 64 MiB, it grows upwards. */
static void *fill_arena(void *unused)
{
	bss_word = kept(320);
	return unused;
}
static void case_pool_beside_arena(void)
{
	char *below;
	void **pool;

	pthread_join(start(fill_arena, NULL), NULL);
	below = (char *)((uintptr_t)bss_word & ~((64UL << 20) - 1)) - POOL; /* NOLINT */
	pool = (void **)mmap(below, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
	                     0);
	if (pool == MAP_FAILED)
		pool = map(POOL, MAP_PRIVATE);
	hold_in(pool);
	KEPT(kept, 1, 320);
}

/* Beside the stack of a thread that runs, above and below it, as one mapping. */
static void *stay(void *unused)
{
	wipe_registers();
	here_i_stay();
	return unused;
}
static void case_pool_beside_thread_stack(void)
{
	size_t stack = 64 * PAGE;
	char *all = (char *)map(2 * POOL + stack, MAP_PRIVATE);
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	if (pthread_attr_setstack(&attr, all + POOL, stack) != 0 || pthread_create(&thread, &attr, stay, NULL) != 0)
		abort();
	sem_wait(&in_place);
	hold_in((void **)(void *)all);
	hold_in((void **)(void *)(all + POOL + stack));
}

/* Memory that the program took by sbrk, between that of malloc. */
static void case_pool_by_sbrk(void)
{
	void **pool = (void **)sbrk(POOL);

	if (pool == (void *)-1) /* NOLINT */
		abort();
	bss_word = kept(100000); /* malloc goes on above */
	hold_in(pool);
	KEPT(kept, 1, 100000);
}

static char **arguments;
__attribute__((constructor)) static void note_arguments(int argc, char **argv)
{
	arguments = argc > 1 ? argv : NULL;
}

/* Programs put their own strings among their arguments; these lie above main's frame. */
static void case_argument_vector(void)
{
	arguments[0] = (char *)kept(33);
	KEPT(kept, 1, 33);
}

static void lose(void)
{
	(void)lost(64);
}

static void case_local_of_main_thread(void)
{
	void *volatile held[200];

	deep(lose);
	memset((void *)(uintptr_t)held, 0, sizeof(held));
	held[100] = kept(40);
	DIRECT(lost, 1, 64);
	KEPT(kept, 1, 40);
	wipe();
	finish();
}

static const struct leak_case cases[] = {
	CASE(data_segment),
	CASE(bss_segment),
	CASE(table_sealed_after_init),
	CASE(relro_opened_and_sealed),
	CASE(mapped_pool),
	CASE(pool_mapped_by_syscall),
	CASE(pool_mapped_before_main),
	CASE(pool_made_read_only),
	CASE(pool_of_huge_pages),
	CASE(pool_of_code),
	CASE(shared_anonymous),
	CASE(shared_file),
	CASE(private_file_written_to),
	CASE(file_cut_short),
	CASE(pool_unmapped),
	CASE(pool_emptied),
	CASE(pool_moved),
	CASE(pool_not_copied_by_fork),
	CASE(pool_wiped_by_fork),
	CASE(pool_not_copied_unmapped),
	CASE(pool_copied_again),
	CASE(in_reservation_of_terabytes),
	CASE(pool_with_a_hole),
	CASE(pool_beside_huge_block),
	CASE(pool_beside_arena),
	CASE(pool_beside_thread_stack),
	CASE(pool_by_sbrk),
	CASE(argument_vector),
	CASE(local_of_main_thread),
};
LEAKS_MAIN

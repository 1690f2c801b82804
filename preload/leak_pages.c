/*
 * leak_pages.c - the pages that the process has written, in two ways.
 *
 * Scan       ioctl(PAGEMAP_SCAN) walks page tables: a reservation of terabytes that has none takes microseconds.
 * Words      before Linux 6.7 the file has a word for each page of the address space, memory or none: 16 TB are 4 billion. So
 *            their number is limited, and what is beyond the limit is told.
 * Shared     memory is not in a copy's page tables, and reading a page that nobody wrote would make one, in the program's memory:
 *            mincore(2) says which there are. Where pages were put into swap space, it does not say so.
 */
#include "leak_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include "compiler.h"
#include "os_linux.h"

enum { WORDS = 4096, REGIONS = 512 };
/* 256 GiB of one mapping with small pages, which take about a second, and four of them. */
#define WORDS_MAX_ONE (UINT64_C(1) << 26)
#define WORDS_MAX_ALL (UINT64_C(1) << 28)
/* Of a shared mapping, each of which is looked for. */
#define SHARED_PAGES_MAX (UINT64_C(1) << 24)
#define PAGE_PRESENT     (UINT64_C(1) << 63)
#define PAGE_SWAPPED     (UINT64_C(1) << 62)
#define PAGE_OF_FILE     (UINT64_C(1) << 61) /* or shared */

/* linux/fs.h, since 6.7; Debian 12's is older. */
struct region {
	uint64_t start, end, categories;
};
struct scan {
	uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
	uint64_t inverted, all_of, any_of, wanted;
};
#define SCAN 0xc0606610L /* _IOWR('f', 16, struct scan) */
enum { IS_FILE = 4, IS_PRESENT = 8, IS_SWAPPED = 16, IS_ZEROS = 32 };
_Static_assert(sizeof(struct scan) == 0x60, "the size is in the request's number");

typedef void visit_fn(void *context, uint64_t start, uint64_t end);

static struct region region[REGIONS];
static uint64_t word[WORDS];

/* Sets *at to where the next call goes on. */
static long scan_once(int fd, enum leak_pages_of which, uint64_t *at, uint64_t end)
{
	uint64_t none_of = which == LEAK_PAGES_WRITTEN ? IS_FILE | IS_ZEROS : 0;
	struct scan s = {
		.size = sizeof(s),
		.start = *at,
		.end = end,
		.regions = (uint64_t)region,
		.region_count = REGIONS,
		.inverted = none_of,
		.all_of = none_of,
		.any_of = IS_PRESENT | IS_SWAPPED,
		.wanted = IS_PRESENT | IS_SWAPPED,
	};
	long n = os_call(SYS_ioctl, fd, SCAN, (long)&s, 0, 0, 0);

	if (n >= 0)
		*at = s.walk_end;
	return n;
}

void leak_pages_open(struct leak_pages *p)
{
	uint64_t page = getauxval(AT_PAGESZ), at = (uint64_t)region / page * page; /* reads a table */

	*p = (struct leak_pages){ .fd = os_open("/proc/self/pagemap", O_RDONLY, 0),
		                  .words_max = WORDS_MAX_ONE,
		                  .words_left = WORDS_MAX_ALL };
	p->scan = p->fd >= 0 && scan_once(p->fd, LEAK_PAGES_ANY, &at, at + page) >= 0;
}

void leak_pages_close(struct leak_pages *p)
{
	os_close(p->fd);
	p->fd = -1;
}

static void visit_cut(visit_fn *visit, void *context, uint64_t from, uint64_t to, uint64_t start, uint64_t end)
{
	from = from > start ? from : start;
	to = to < end ? to : end;
	if (from < to)
		visit(context, from, to);
}

static bool scan_each(const struct leak_pages *p, enum leak_pages_of which, uint64_t start, uint64_t end, uint64_t page,
                      visit_fn *visit, void *context)
{
	uint64_t at = start / page * page, last = (end + page - 1) / page * page;

	while (at < last) {
		uint64_t before = at;
		long n = scan_once(p->fd, which, &at, last);

		if (n == -EINTR)
			continue;
		if (n < 0 || (n == 0 && at <= before))
			return false;
		for (long i = 0; i < n; i++)
			visit_cut(visit, context, region[i].start, region[i].end, start, end);
	}
	return true;
}

static bool is_wanted(uint64_t entry, enum leak_pages_of which)
{
	return entry & (PAGE_PRESENT | PAGE_SWAPPED) && (which == LEAK_PAGES_ANY || !(entry & PAGE_OF_FILE));
}

static bool words_each(struct leak_pages *p, enum leak_pages_of which, uint64_t start, uint64_t end, uint64_t page,
                       visit_fn *visit, void *context)
{
	uint64_t from = 0;

	for (uint64_t at = start / page * page; at < end;) {
		uint64_t pages = (end - at + page - 1) / page;

		pages = pages < WORDS ? pages : WORDS;
		if (os_pread_all(p->fd, word, pages * sizeof(word[0]), at / page * sizeof(word[0])) != 0)
			return false;
		for (uint64_t i = 0; i < pages; i++, at += page) {
			if (is_wanted(word[i], which)) {
				from = from ? from : at;
			} else if (from) {
				visit_cut(visit, context, from, at, start, end);
				from = 0;
			}
		}
		p->words_left -= pages;
	}
	if (from)
		visit_cut(visit, context, from, end, start, end);
	return true;
}

bool leak_pages_each(struct leak_pages *p, enum leak_pages_of which, uint64_t start, uint64_t end, visit_fn *visit,
                     void *context, uint64_t *ret_unasked)
{
	uint64_t page = getauxval(AT_PAGESZ), most;

	*ret_unasked = 0;
	if (p->fd < 0 || start >= end)
		return p->fd >= 0;
	if (p->scan)
		return scan_each(p, which, start, end, page, visit, context);
	most = (p->words_left < p->words_max ? p->words_left : p->words_max) * page;
	if (end - start / page * page > most) {
		*ret_unasked = start / page * page + most < start ? end - start : end - (start / page * page + most);
		end -= *ret_unasked;
	}
	return start >= end || words_each(p, which, start, end, page, visit, context);
}

static bool is_swap_used(void)
{
	struct sysinfo info;

	return os_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0) < 0 || info.freeswap < info.totalswap;
}

bool leak_pages_shared(uint64_t start, uint64_t end, visit_fn *visit, void *context, uint64_t *ret_unasked)
{
	uint64_t page = getauxval(AT_PAGESZ), first = start / page * page, from = 0;
	static uint8_t there[WORDS];

	*ret_unasked = 0;
	if (is_swap_used())
		return false;
	if (end > first && (end - first) / page > SHARED_PAGES_MAX) {
		*ret_unasked = end - (first + SHARED_PAGES_MAX * page);
		end -= *ret_unasked;
	}
	for (uint64_t at = first; at < end;) {
		uint64_t pages = (end - at + page - 1) / page;

		pages = pages < WORDS ? pages : WORDS;
		if (os_call(SYS_mincore, (long)at, (long)(pages * page), (long)there, 0, 0, 0) != 0)
			return false;
		for (uint64_t i = 0; i < pages; i++, at += page) {
			if (there[i] & 1) {
				from = from ? from : at;
			} else if (from) {
				visit_cut(visit, context, from, at, start, end);
				from = 0;
			}
		}
	}
	if (from)
		visit_cut(visit, context, from, end, start, end);
	return true;
}

#include "kernel_frames.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "os_linux.h"

static size_t page_bytes; /* of the kernel: one for the header, one for records */

void kernel_frames_ask(struct perf_event_attr *attr)
{
	attr->sample_type = PERF_SAMPLE_CALLCHAIN;
	attr->exclude_callchain_user = 1; /* the program's we walk ourselves: most of it has no frame pointers */
	attr->sample_max_stack = KERNEL_FRAMES_MAX;
}

void *kernel_frames_map(int fd)
{
	long at;

	page_bytes = getauxval(AT_PAGESZ); /* the same each time */
	/* Not copied by fork: VM_DONTCOPY, kernel/events/core.c, perf_mmap(). */
	at = os_call(SYS_mmap, 0, (long)(2 * page_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return at < 0 ? NULL : (void *)at;
}

void kernel_frames_unmap(void *ring)
{
	if (ring)
		(void)os_call(SYS_munmap, (long)ring, (long)(2 * page_bytes), 0, 0, 0, 0);
}

struct data {
	const uint8_t *at;
	uint64_t size; /* a power of two */
};

static uint64_t word_at(const struct data *d, uint64_t offset)
{
	uint64_t word;

	/* Records are of whole words; who knows what the program has written there. */
	memcpy(&word, d->at + (offset & (d->size - sizeof(word))), sizeof(word));
	return word;
}

/* Of a PERF_RECORD_SAMPLE at `offset`: the count of addresses, then they, with marks between them that say whose they are. */
static size_t chain_at(const struct data *d, uint64_t offset, uint64_t end, uintptr_t *pcs, size_t max)
{
	uint64_t count = word_at(d, offset + sizeof(struct perf_event_header));
	size_t n = 0;

	offset += sizeof(struct perf_event_header) + sizeof(count);
	for (uint64_t i = 0; i < count && n < max && offset < end; i++, offset += sizeof(uint64_t)) {
		uint64_t pc = word_at(d, offset);

		if (pc == (uint64_t)PERF_CONTEXT_USER)
			break;
		if (pc >= (uint64_t)PERF_CONTEXT_MAX)
			continue;
		pcs[n] = (uintptr_t)pc - (n > 0); /* but for the first, return addresses */
		n++;
	}
	return n;
}

size_t kernel_frames_take(void *ring, uintptr_t *pcs, size_t max)
{
	struct perf_event_mmap_page *page = ring;
	struct perf_event_header header;
	uint64_t head, tail, first;
	struct data d;
	size_t n = 0;

	if (!ring)
		return 0;
	head = __atomic_load_n(&page->data_head,
	                       __ATOMIC_ACQUIRE); /* pairs with the kernel's store behind the record */
	tail = page->data_tail;
	d = (struct data){ (const uint8_t *)ring + page_bytes, page_bytes };
	if (head - tail > d.size)
		tail = head;
	for (; tail < head; tail += header.size) {
		first = word_at(&d, tail);
		memcpy(&header, &first, sizeof(header));
		if (header.size < sizeof(header) || header.size % sizeof(first) || header.size > head - tail)
			break;
		if (header.type == PERF_RECORD_SAMPLE)
			n = chain_at(&d, tail, tail + header.size, pcs, max);
	}
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE); /* pairs with the kernel's load before it writes */
	return n;
}

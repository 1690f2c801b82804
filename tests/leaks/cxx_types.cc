// What the language itself does with pointers to objects: cookies of arrays, second bases, exceptions in flight, static objects.
#include <exception>
#include <new>
#include <sys/mman.h>

#include "leaks.h"

#define SITE_NEW(name, type, expression) \
	static ALONE type name()         \
	{                                \
		type made = expression;  \
		ESCAPE(made);            \
		return made;             \
	}

static void *volatile global;
SITE(lost)
SITE(kept)

struct counted { // an array of these has its length before the first
	void *word = nullptr;
	~counted() { ESCAPE(this); }
};
static volatile size_t none = 0;
SITE_NEW(empty_array, counted *, new counted[none])
SITE_NEW(array, counted *, new counted[none + 10])
SITE_NEW(plain_array, long *, new long[none + 10]())
SITE_NEW(empty_plain_array, char *, new char[none])

// The pointer is one past the end of the block, in which there is only the length.
static void case_empty_array_kept() { global = empty_array(); KEPT(empty_array, 1, 8); }
static void case_empty_array_lost() { (void)empty_array(); DIRECT(empty_array, 1, 8); }
static void case_empty_plain_array_kept() { global = empty_plain_array(); KEPT(empty_plain_array, 1, 0); }
static void case_empty_plain_array_lost() { (void)empty_plain_array(); DIRECT(empty_plain_array, 1, 0); }

static void case_array_kept()
{
	counted *first = array();
	first[9].word = kept(40);
	global = first;
	KEPT(array, 1, 88);
	KEPT(kept, 1, 40);
}

static void case_array_lost()
{
	array()[9].word = lost(40);
	(void)plain_array();
	DIRECT(array, 1, 88);
	INDIRECT(lost, 1, 40);
	DIRECT(plain_array, 1, 80);
}

static void case_array_deleted()
{
	delete[] array();
	delete[] plain_array();
	delete[] empty_array();
}

struct first_base { virtual ~first_base() {} long one = 1; };
struct second_base { virtual ~second_base() {} void *word = nullptr; };
struct both : first_base, second_base { long more = 3; };
SITE_NEW(two_bases, both *, new both)

// The only pointer is to the second base: 16 bytes into the block.
static void case_second_base_kept()
{
	second_base *second = two_bases();
	second->word = kept(40);
	global = second;
	KEPT(two_bases, 1, sizeof(both));
	KEPT(kept, 1, 40);
}

static void case_second_base_lost()
{
	second_base *second = two_bases();
	second->word = lost(40);
	DIRECT(two_bases, 1, sizeof(both));
	INDIRECT(lost, 1, 40);
}

static void case_second_base_deleted()
{
	second_base *second = two_bases();
	delete second;
}

struct root { virtual ~root() {} void *word = nullptr; };
struct left : virtual root { long l = 1; };
struct right : virtual root { long r = 2; };
struct diamond : left, right { long d = 3; };
SITE_NEW(virtual_base, diamond *, new diamond)

// A virtual base lies at the end of the object.
static void case_virtual_base_kept()
{
	root *base = virtual_base();
	base->word = kept(40);
	global = base;
	KEPT(virtual_base, 1, sizeof(diamond));
	KEPT(kept, 1, 40);
}

static void case_virtual_base_lost()
{
	root *base = virtual_base();
	base->word = lost(40);
	DIRECT(virtual_base, 1, sizeof(diamond));
	INDIRECT(lost, 1, 40);
}

struct alignas(256) wide { void *word; char rest[248]; };
SITE_NEW(aligned, wide *, new wide{})
SITE_NEW(aligned_array, wide *, new wide[3]{})
SITE_NEW(without_throw, int *, new (std::nothrow) int{})

static void case_aligned_new()
{
	(void)aligned();
	(void)aligned_array();
	global = aligned();
	DIRECT(aligned, 1, 256);
	DIRECT(aligned_array, 1, 768);
	KEPT(aligned, 1, 256);
	delete aligned();
	delete[] aligned_array();
}

static void case_nothrow_new()
{
	(void)without_throw();
	global = without_throw();
	DIRECT(without_throw, 1, sizeof(int));
	KEPT(without_throw, 1, sizeof(int));
}

// Objects built in memory that the program has already.
static void case_placement_in_heap_pool()
{
	void *memory = kept(4096);
	auto *object = new (static_cast<char *>(memory) + 1024) both;
	object->word = kept(40);
	global = object;
	KEPT(kept, 2, 4136);
}

static void case_placement_in_mapped_pool()
{
	void *memory = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	auto *object = new (static_cast<char *>(memory) + 1024) both;
	object->word = kept(40);
	KEPT(kept, 1, 40);
}

// A class with its own operator new.
struct own_new {
	long words[5] = {};
	static ALONE void *operator new(size_t size) { return blank(malloc(size + 16), size + 16); }
	static void operator delete(void *block) { free(block); }
};
SITE_NEW(by_own_new, own_new *, new own_new)
static void case_class_operator_new()
{
	(void)by_own_new();
	global = by_own_new();
	delete by_own_new();
	DIRECT(by_own_new, 1, sizeof(own_new) + 16);
	KEPT(by_own_new, 1, sizeof(own_new) + 16);
}

// The constructor throws: the compiler gives the memory back. What the constructor had made is lost.
struct throws {
	void *word;
	throws() : word(lost(45)) { throw 7; }
};
static ALONE void construct()
{
	try {
		delete new throws;
	} catch (int) {
	}
}
static void case_constructor_throws()
{
	construct();
	DIRECT(lost, 1, 45);
}

// While an exception is handled, nobody but the C++ runtime has its object.
struct carries {
	void *word;
};
static ALONE void throw_one() { throw carries{kept(46)}; }
static void case_exception_in_flight()
{
	try {
		throw_one();
	} catch (...) {
		KEPT(kept, 1, 46);
		KEPT(throw_one, 1, UNKNOWN);
		wipe();
		finish();
	}
}

static void case_exception_handled()
{
	try {
		throw carries{lost(47)};
	} catch (const carries &) {
	}
	DIRECT(lost, 1, 47);
}

static ALONE std::exception_ptr caught()
{
	try {
		throw_one();
	} catch (...) {
		return std::current_exception();
	}
	return nullptr;
}
static void case_exception_pointer_kept()
{
	auto *holder = new (kept(sizeof(std::exception_ptr))) std::exception_ptr(caught());
	global = holder;
	KEPT(kept, 2, 46 + sizeof(*holder));
	KEPT(throw_one, 1, UNKNOWN);
}

struct carries_lost {
	void *word;
};
static ALONE void throw_lost() { throw carries_lost{nullptr}; }
static void case_exception_pointer_lost()
{
	try {
		throw_lost();
	} catch (...) {
		new (lost(sizeof(std::exception_ptr))) std::exception_ptr(std::current_exception());
	}
	DIRECT(lost, 1, sizeof(std::exception_ptr));
	INDIRECT(throw_lost, 1, UNKNOWN);
}

// Static objects: destroyed at exit, before anybody looks then. They free what they own, or forget to.
struct owner {
	void *volatile owned = nullptr;
	bool careful = true;
	~owner()
	{
		if (careful)
			free(owned);
		owned = nullptr;
	}
};
static owner careful_owner, careless_owner;

static void case_static_object_frees()
{
	careful_owner.owned = kept(48);
	KEPT(kept, 1, 48);
}

static void case_static_object_forgets()
{
	careless_owner.careful = false;
	careless_owner.owned = lost(49);
	DIRECT_IN(exit, lost, 1, 49);
}

// Made on first use and never destroyed, as many singletons are.
static ALONE both &singleton()
{
	static both *instance = two_bases();
	return *instance;
}
static void case_singleton()
{
	singleton().word = kept(51);
	KEPT(two_bases, 1, sizeof(both));
	KEPT(kept, 1, 51);
}

// Variables of a thread: one has a destructor, the other is a mere pointer.
struct frees_at_end {
	void *word = nullptr;
	~frees_at_end() { free(word); }
};
static thread_local frees_at_end with_destructor;
static thread_local void *volatile without_destructor;
static void *use_thread_locals(void *unused)
{
	with_destructor.word = kept(52);
	without_destructor = lost(53);
	return unused;
}
static void case_thread_local_of_ended_thread()
{
	pthread_join(start(use_thread_locals, nullptr), nullptr);
	DIRECT(lost, 1, 53);
}

static const struct leak_case cases[] = {
	CASE(empty_array_kept),
	CASE(empty_array_lost),
	CASE(empty_plain_array_kept),
	CASE(empty_plain_array_lost),
	CASE(array_kept),
	CASE(array_lost),
	CASE(array_deleted),
	CASE(second_base_kept),
	CASE(second_base_lost),
	CASE(second_base_deleted),
	CASE(virtual_base_kept),
	CASE(virtual_base_lost),
	CASE(aligned_new),
	CASE(nothrow_new),
	CASE(placement_in_heap_pool),
	CASE(placement_in_mapped_pool),
	CASE(class_operator_new),
	CASE(constructor_throws),
	CASE(exception_in_flight),
	CASE(exception_handled),
	CASE(exception_pointer_kept),
	CASE(exception_pointer_lost),
	CASE(static_object_frees),
	CASE(static_object_forgets),
	CASE(singleton),
	CASE(thread_local_of_ended_thread),
};
LEAKS_MAIN

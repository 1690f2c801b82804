// Objects of the standard library: kept, and lost by wiping the object that owned their blocks. A site is the function that
// used them; between it and the allocator lie functions of the library.
#include <any>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "leaks.h"

static void *volatile global;

// Room for an object that is never destroyed.
template <typename T> struct room {
	alignas(T) char bytes[sizeof(T)];
	T &make() { return *new (bytes) T; }
	T &get() { return *reinterpret_cast<T *>(bytes); }
	void keep() { ESCAPE(bytes); } // somebody might still read it
	void forget()
	{
		memset(bytes, 0, sizeof(bytes));
		keep();
	}
};

SITE(lost)
SITE(kept)

// Short: within the object, which then points into itself.
static ALONE std::string *short_string() { return new std::string("short"); }
static ALONE std::string *long_string() { return new std::string(100, 'x'); }
static void case_string_short_lost()
{
	(void)short_string();
	DIRECT(short_string, 1, sizeof(std::string));
}
static void case_string_short_kept()
{
	global = const_cast<char *>(short_string()->data()); // the object by its middle
	KEPT(short_string, 1, sizeof(std::string));
}
static void case_string_long_lost()
{
	(void)long_string();
	DIRECT(long_string, 1, sizeof(std::string));
	INDIRECT(long_string, 1, 101);
}
static void case_string_long_kept()
{
	global = long_string();
	KEPT(long_string, 2, sizeof(std::string) + 101);
}

static ALONE void fill_vector(std::vector<void *> &v, void *(*site)(size_t))
{
	for (int i = 0; i < 5; i++) {
		void *block = site(30);
		v.push_back(block);
	}
	v.shrink_to_fit();
}
static void case_vector_kept()
{
	static room<std::vector<void *>> v;
	fill_vector(v.make(), kept);
	v.keep();
	KEPT(fill_vector, 1, 40);
	KEPT(kept, 5, 150);
}
static void case_vector_lost()
{
	static room<std::vector<void *>> v;
	fill_vector(v.make(), lost);
	v.forget();
	DIRECT(fill_vector, 1, 40);
	INDIRECT(lost, 5, 150);
}
// Freed by its destructor when the program ends; what it pointed to is not.
static std::vector<void *> static_vector;
static void case_static_vector_of_pointers()
{
	fill_vector(static_vector, lost);
	DIRECT_IN(exit, lost, 5, 150);
	KEPT(fill_vector, 1, 40);
}
static std::vector<std::unique_ptr<std::string>> static_owner;
static ALONE void fill_owner() { static_owner.push_back(std::make_unique<std::string>(200, 'y')); }
static void case_static_vector_of_owners()
{
	for (int i = 0; i < 10; i++)
		fill_owner();
	KEPT(fill_owner, 21, UNKNOWN);
}

static ALONE void fill_list(std::list<long> &l)
{
	for (long i = 0; i < 6; i++)
		l.push_back(i);
}
static void case_list_kept()
{
	static room<std::list<long>> l;
	fill_list(l.make());
	l.keep();
	KEPT(fill_list, 6, 6 * sizeof(std::_List_node<long>));
}
// Both ways linked: a cycle.
static void case_list_lost()
{
	static room<std::list<long>> l;
	fill_list(l.make());
	l.forget();
	DIRECT(fill_list, 1, sizeof(std::_List_node<long>));
	INDIRECT(fill_list, 5, 5 * sizeof(std::_List_node<long>));
}
// The head is a block, too, and a part of the ring.
static ALONE std::list<long> *list_head() { return new std::list<long>; }
static ALONE void append(std::list<long> *l) { l->push_back(1); }
static void case_list_lost_with_its_head()
{
	std::list<long> *l = list_head();
	append(l);
	PAIR(list_head, l, sizeof(*l), append, &l->front(), sizeof(std::_List_node<long>));
}

using map = std::map<int, long>;
static ALONE void fill_map(map &m)
{
	for (int i = 0; i < 7; i++)
		m[i * 37 % 7] = i;
}
using map_node = std::_Rb_tree_node<map::value_type>;
static void case_map_kept()
{
	static room<map> m;
	fill_map(m.make());
	m.keep();
	KEPT(fill_map, 7, 7 * sizeof(map_node));
}
static void case_map_lost()
{
	static room<map> m;
	fill_map(m.make());
	m.forget();
	DIRECT(fill_map, 1, sizeof(map_node));
	INDIRECT(fill_map, 6, 6 * sizeof(map_node));
}

using table = std::unordered_map<int, long>;
using table_node = std::__detail::_Hash_node<table::value_type, false>;
static ALONE void fill_table(table &t)
{
	t.reserve(13);
	for (int i = 0; i < 8; i++)
		t[i] = i;
}
static void case_unordered_map_kept()
{
	static room<table> t;
	fill_table(t.make());
	t.keep();
	KEPT(fill_table, 9, 8 * sizeof(table_node) + 8 * t.get().bucket_count());
}
// The buckets point to the nodes; nobody points to the buckets.
static void case_unordered_map_lost()
{
	static room<table> t;
	fill_table(t.make());
	size_t buckets = t.get().bucket_count();
	t.forget();
	DIRECT(fill_table, 1, 8 * buckets);
	INDIRECT(fill_table, 8, 8 * sizeof(table_node));
}

static ALONE void fill_deque(room<std::deque<void *>> &where)
{
	std::deque<void *> &d = where.make();
	for (long i = 0; i < 150; i++)
		d.push_back(nullptr);
}
static void case_deque_kept()
{
	static room<std::deque<void *>> d;
	fill_deque(d);
	d.get()[149] = kept(20);
	d.keep();
	KEPT(fill_deque, 4, 64 + 3 * 512);
	KEPT(kept, 1, 20);
}
static void case_deque_lost()
{
	static room<std::deque<void *>> d;
	fill_deque(d);
	d.get()[149] = lost(20);
	d.forget();
	DIRECT(fill_deque, 1, 64);
	INDIRECT(fill_deque, 3, 3 * 512);
	INDIRECT(lost, 1, 20);
}

struct widget {
	long number = 0;
	std::shared_ptr<widget> other;
	explicit widget(long n) : number(n) {}
};
static ALONE std::shared_ptr<widget> make_widget() { return std::make_shared<widget>(1); }
static ALONE std::unique_ptr<widget> make_unique_widget() { return std::make_unique<widget>(2); }
static const size_t shared_bytes = 16 + sizeof(widget); // vtable and counters, then the object

static void case_unique_ptr_released()
{
	(void)make_unique_widget().release();
	DIRECT(make_unique_widget, 1, sizeof(widget));
}
static void case_unique_ptr_kept()
{
	static std::unique_ptr<widget> p;
	p = make_unique_widget();
	ESCAPE(&p);
	KEPT(make_unique_widget, 1, sizeof(widget));
}
static void case_shared_ptr_freed() { make_widget()->other = make_widget(); }
static void case_shared_ptr_kept()
{
	static std::shared_ptr<widget> p;
	p = make_widget();
	p->other = make_widget();
	ESCAPE(&p);
	KEPT(make_widget, 2, 2 * shared_bytes);
}
// Two that own each other: the leak that counters cannot find.
static void case_shared_ptr_cycle()
{
	auto a = make_widget(), b = make_widget();
	a->other = b;
	b->other = a;
	DIRECT(make_widget, 1, shared_bytes);
	INDIRECT(make_widget, 1, shared_bytes);
}
static ALONE std::shared_ptr<widget> *shared_on_heap() { return new std::shared_ptr<widget>; }
static void case_shared_ptr_itself_lost()
{
	*shared_on_heap() = make_widget();
	DIRECT(shared_on_heap, 1, sizeof(std::shared_ptr<widget>));
	INDIRECT(make_widget, 1, shared_bytes);
}
// The object is gone, its memory waits for the last who might ask.
static void case_weak_ptr_keeps_memory()
{
	static std::weak_ptr<widget> weak;
	weak = make_widget();
	ESCAPE(&weak);
	KEPT(make_widget, 1, shared_bytes);
}
// A shared_ptr to a member: the object is held by its middle.
static void case_shared_ptr_to_member()
{
	static std::shared_ptr<long> number;
	auto w = make_widget();
	number = std::shared_ptr<long>(w, &w->number);
	ESCAPE(&number);
	KEPT(make_widget, 1, shared_bytes);
}

struct big_capture {
	void *words[8];
};
static ALONE std::function<void()> capture(void *block)
{
	big_capture big{};
	big.words[7] = block;
	return [big] { ESCAPE(&big); };
}
static void case_function_kept()
{
	static room<std::function<void()>> f;
	f.make() = capture(kept(21));
	f.keep();
	KEPT(capture, 1, sizeof(big_capture));
	KEPT(kept, 1, 21);
}
static void case_function_lost()
{
	static room<std::function<void()>> f;
	f.make() = capture(lost(21));
	f.forget();
	DIRECT(capture, 1, sizeof(big_capture));
	INDIRECT(lost, 1, 21);
}

static ALONE std::any boxed() { return std::any(big_capture{}); }
static void case_any()
{
	static room<std::any> a;
	static std::any held;
	held = boxed();
	ESCAPE(&held);
	a.make() = boxed();
	a.forget();
	DIRECT(boxed, 1, sizeof(big_capture));
	KEPT(boxed, 1, sizeof(big_capture));
}

static ALONE std::promise<long> *promised() { return new std::promise<long>; }
static void case_promise_kept()
{
	static std::future<long> result;
	result = promised()->get_future(); // the promise itself is lost with the room for its value; its state is shared
	DIRECT(promised, 1, sizeof(std::promise<long>));
	INDIRECT(promised, 1, sizeof(std::__future_base::_Result<long>));
	KEPT(promised, 1, UNKNOWN);
}

// The thread has the only copy of what it was given.
static void use_block(void *block)
{
	wipe_registers();
	here_i_stay();
	ESCAPE(block);
}
static ALONE void start_std_thread() { std::thread(use_block, kept(22)).detach(); }
static void case_std_thread()
{
	start_std_thread();
	sem_wait(&in_place);
	KEPT(kept, 1, 22);
	KEPT(start_std_thread, 1, UNKNOWN);
}
static ALONE void finish_std_thread()
{
	std::thread([] { (void)lost(23); }).join();
}
static void case_std_thread_joined()
{
	finish_std_thread();
	DIRECT(lost, 1, 23);
}

static ALONE std::pmr::monotonic_buffer_resource *arena() { return new std::pmr::monotonic_buffer_resource(1000); }
static ALONE void *from_arena(std::pmr::memory_resource *r) { return r->allocate(100); }
static void case_pmr_arena_lost()
{
	(void)from_arena(arena());
	DIRECT(arena, 1, sizeof(std::pmr::monotonic_buffer_resource));
	INDIRECT(from_arena, 1, UNKNOWN);
}
static void case_pmr_arena_held_by_one_object()
{
	std::pmr::memory_resource *r = arena();
	global = from_arena(r);
	DIRECT(arena, 1, sizeof(std::pmr::monotonic_buffer_resource));
	KEPT(from_arena, 1, UNKNOWN);
}

static const struct leak_case cases[] = {
	CASE(string_short_lost),
	CASE(string_short_kept),
	CASE(string_long_lost),
	CASE(string_long_kept),
	CASE(vector_kept),
	CASE(vector_lost),
	CASE(static_vector_of_pointers),
	CASE(static_vector_of_owners),
	CASE(list_kept),
	CASE(list_lost),
	CASE(list_lost_with_its_head),
	CASE(map_kept),
	CASE(map_lost),
	CASE(unordered_map_kept),
	CASE(unordered_map_lost),
	CASE(deque_kept),
	CASE(deque_lost),
	CASE(unique_ptr_released),
	CASE(unique_ptr_kept),
	CASE(shared_ptr_freed),
	CASE(shared_ptr_kept),
	CASE(shared_ptr_cycle),
	CASE(shared_ptr_itself_lost),
	CASE(weak_ptr_keeps_memory),
	CASE(shared_ptr_to_member),
	CASE(function_kept),
	CASE(function_lost),
	CASE(any),
	CASE(promise_kept),
	CASE(std_thread),
	CASE(std_thread_joined),
	CASE(pmr_arena_lost),
	CASE(pmr_arena_held_by_one_object),
};
LEAKS_MAIN

/* C++ shapes for the stack tests: virtual calls, exceptions that unwind through cleanups, realigned and variable frames,
 * deep recursion, std::function, allocation in all of them. */
#include <alloca.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct shape {
	virtual ~shape() = default;
	virtual long work(int depth) = 0;
};

std::unique_ptr<shape> make(int kind);

struct thrower : shape {
	long work(int depth) override
	{
		std::string held(40 + static_cast<size_t>(depth), 'x'); /* a cleanup on the way */

		try {
			if (depth == 0)
				throw std::runtime_error(held);
			return make(depth)->work(depth - 1) + 1;
		} catch (const std::runtime_error &e) {
			std::vector<int> v(64 + std::string(e.what()).size());
			if (depth % 3 == 0)
				return static_cast<long>(v.size());
			throw;
		}
	}
};

struct aligned : shape {
	__attribute__((noinline)) long work(int depth) override
	{
		alignas(64) volatile char room[128];

		room[0] = static_cast<char>(depth);
		if (depth == 0)
			return *std::make_unique<long>(room[0]);
		return make(depth)->work(depth - 1) + room[0];
	}
};

struct variable : shape {
	__attribute__((noinline)) long work(int depth) override
	{
		volatile char *room = static_cast<char *>(alloca(16 + static_cast<size_t>(depth) * 24));

		room[0] = static_cast<char>(depth);
		return depth == 0 ? 1 : make(depth)->work(depth - 1) + room[0];
	}
};

struct mapped : shape {
	long work(int depth) override
	{
		std::map<std::string, std::function<long(int)>> calls;

		calls["down"] = [](int d) { return d == 0 ? 0 : make(d)->work(d - 1); };
		return calls["down"](depth);
	}
};

std::unique_ptr<shape> make(int kind)
{
	switch (kind % 4) {
	case 0:
		return std::make_unique<thrower>();
	case 1:
		return std::make_unique<aligned>();
	case 2:
		return std::make_unique<variable>();
	default:
		return std::make_unique<mapped>();
	}
}

} // namespace

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
	long sum = 0;

	for (int i = 0; i < rounds; i++) {
		try {
			sum += make(i)->work(i % 23);
		} catch (const std::runtime_error &) {
			sum += 7;
		}
	}
	std::printf("%ld\n", sum);
	return 0;
}

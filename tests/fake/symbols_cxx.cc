// As symbols_c.c: names with namespaces, templates, lambdas, and inlined methods.
#include <cstdio>
#include <vector>

namespace server {
struct Worker {
	std::vector<int> queue;
	template <typename T> __attribute__((noinline)) int handle(T const &request)
	{
		for (int i = 0; i < request; i++)
			queue.push_back(i);
		return static_cast<int>(queue.size());
	}
	int inlined_method(int x) const { return x * static_cast<int>(queue.size()); }
	__attribute__((noinline)) int call(int x) const { return inlined_method(x) + inlined_method(x + 1); }
};
} // namespace server

int main(int argc, char **)
{
	server::Worker w;
	auto lambda = [&](int n) __attribute__((noinline)) { return w.handle(n); };
	std::printf("%d %d\n", lambda(argc), w.call(argc));
	return 0;
}

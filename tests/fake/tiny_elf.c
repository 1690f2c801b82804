/* A few hundred bytes of code for the fuzzers of ELF and DWARF: a leaf, calls that are inlined, a nested block, a local name, and
 * with -DIMPORT a function of another object, called by way of the PLT. Linked without any library. */
struct point {
	int x, y;
};

int counter;

static inline __attribute__((always_inline)) int inner(struct point p)
{
	return p.x * p.y + counter;
}

static inline __attribute__((always_inline)) int middle(int n)
{
	struct point p = { n, n + 1 };

	return inner(p) ^ inner((struct point){ p.y, p.x });
}

static __attribute__((noinline)) int hidden(int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++) {
		int square = i * i;

		sum += middle(square);
	}
	return sum;
}

#ifdef IMPORT
extern int imported(int n);
#else
static __attribute__((noinline)) int imported(int n)
{
	return n - counter;
}
#endif

int visible(int n)
{
	return hidden(n) + imported(n);
}

void _start(void)
{
	counter = visible(7);
	for (;;)
		counter++;
}

/* Libraries for test_redirect.c: one defines the functions and calls one itself, the others call them. */
int redirect_sample(int n);
int redirect_itself(int n);
int redirect_call(int n);
extern int (*redirect_pointer)(int n);

#ifdef DEFINES
int redirect_sample(int n)
{
	return n + 1;
}

int redirect_itself(int n)
{
	return redirect_sample(n);
}
#else
int (*redirect_pointer)(int n) = redirect_sample;

int redirect_call(int n)
{
	return redirect_sample(n);
}
#endif

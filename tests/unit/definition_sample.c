/* The libraries of test_definition.c: NUMBER is what they answer; USER: one that needs another, and defines none. */
#ifdef USER
extern int definition_answer(void);
const void *definition_user(void);
const void *definition_user(void)
{
	return definition_answer() ? (const char *)definition_user + 1 : 0; /* a place in here */
}
#else
int definition_answer(void);
const void *definition_place(void);
int definition_answer(void)
{
	return NUMBER;
}
const void *definition_place(void)
{
	return (const char *)definition_place + 1;
}
#endif

/* A library that defines mysql_query, and leaves it as libraries and their callbacks may: its connection is a function to call. */
int mysql_query(void *mysql, const char *text);
int mysql_real_query(void *mysql, const char *text, unsigned long bytes);

int mysql_real_query(void *mysql, const char *text, unsigned long bytes)
{
	(void)text;
	(void)bytes;
	return mysql ? ((int (*)(void))mysql)() : 0;
}

int mysql_query(void *mysql, const char *text)
{
	return mysql_real_query(mysql, text, 0); /* by its name: through whoever stands in front */
}

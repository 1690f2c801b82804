/* Loaded and unloaded by victim_unwinding. Built twice, with frames of different sizes and code of equal length. */
void plugin_call(void (*fn)(void));

void plugin_call(void (*fn)(void))
{
	volatile char room[PLUGIN_ROOM];

	room[0] = 1;
	fn();
	(void)room[0];
}

/* Threads: what hook_thread.c needs once. */
#pragma once

/* Before main(). [init] */
void hook_thread_init(void);

/* The program's environment: programs it starts are not to be profiled, unless PERFPROBE_FOLLOW says so. */
#pragma once

/* Takes this library out of LD_PRELOAD in `env`, in place; other libraries stay; an empty variable goes. [init] */
void preload_env_remove(char **env);
/* As above for one value: the list without entries whose file name is `own`. `to` has strlen(list) + 1 bytes.
 * Entries are separated by blanks or colons (ld.so(8)). */
void preload_env_filter(const char *list, const char *own, char *to);

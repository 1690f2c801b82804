/* The scripts completion.bash, .zsh and .fish, with @PROGRAM@ for the program's name (cmake/embed.cmake makes the
 * definitions). Not terminated. */
#pragma once
#include <stddef.h>

extern const unsigned char embedded_completion_bash[];
extern const size_t embedded_completion_bash_len;
extern const unsigned char embedded_completion_zsh[];
extern const size_t embedded_completion_zsh_len;
extern const unsigned char embedded_completion_fish[];
extern const size_t embedded_completion_fish_len;

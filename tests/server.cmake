# The sample server of the demo and the end-to-end tests: optimized, with debug information, without frame pointers, whatever
# the preset; never under a sanitizer (it runs under the library).
add_executable(sample_server server/sample_server.c)
target_compile_definitions(sample_server PRIVATE _GNU_SOURCE)
target_compile_options(sample_server PRIVATE
  -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2
  $<$<BOOL:${PERFPROBE_WERROR}>:-Werror> -O2 -g -fomit-frame-pointer -fno-optimize-sibling-calls)
find_package(Threads REQUIRED)
target_link_libraries(sample_server PRIVATE Threads::Threads)

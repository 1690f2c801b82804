# Programs that state the leaks they have (tests/leaks/leaks.h), for tests/e2e/test_leaks.py. A topic is a file; each is built
# by gcc and clang, without and with optimisation, into leaks/COMPILER-LEVEL/, and once more with clang's LeakSanitizer inside
# (gcc's can be preloaded). Compiled by the command: each build has several compilers, and the project has no C++. Once, in
# the build that the end-to-end tests run.
if(NOT CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_CROSSCOMPILING OR PERFPROBE_FUZZ OR NOT PERFPROBE_SANITIZE STREQUAL "")
  return()
endif()
set(leaks_dir ${CMAKE_CURRENT_SOURCE_DIR}/leaks)
file(GLOB leaks_topics CONFIGURE_DEPENDS ${leaks_dir}/*.c ${leaks_dir}/*.cc)
list(REMOVE_ITEM leaks_topics ${leaks_dir}/plugin.c)
# No tail calls: the site must be on the stack. No built-in malloc: compilers drop a pair of malloc and free.
set(leaks_flags -D_GNU_SOURCE -Wall -Wextra -g -pthread -rdynamic -fno-builtin -fno-optimize-sibling-calls
    -iquote ${CMAKE_SOURCE_DIR}/preload)
set(leaks_programs)

# leaks_build(<directory> <C compiler> <C++ compiler> <flag>...)
function(leaks_build name cc cxx)
  find_program(LEAKS_${cc} ${cc})
  find_program(LEAKS_${cxx} ${cxx})
  if(NOT LEAKS_${cc} OR NOT LEAKS_${cxx})
    return()
  endif()
  set(where ${CMAKE_BINARY_DIR}/leaks/${name})
  file(MAKE_DIRECTORY ${where})
  foreach(source ${leaks_topics})
    get_filename_component(topic ${source} NAME_WE)
    set(compile ${LEAKS_${cc}} -std=gnu17)
    if(source MATCHES "\\.cc$")
      set(compile ${LEAKS_${cxx}} -std=c++17)
    endif()
    add_custom_command(OUTPUT ${where}/victim_leaks_${topic} VERBATIM
                       COMMAND ${compile} ${leaks_flags} ${ARGN} -o ${where}/victim_leaks_${topic} ${source}
                       DEPENDS ${source} ${leaks_dir}/leaks.h ${CMAKE_SOURCE_DIR}/preload/perfprobe.h)
    list(APPEND leaks_programs ${where}/victim_leaks_${topic})
  endforeach()
  add_custom_command(OUTPUT ${where}/leaks_plugin.so VERBATIM DEPENDS ${leaks_dir}/plugin.c
                     COMMAND ${LEAKS_${cc}} -std=gnu17 -g -fPIC -shared -fno-builtin -fno-optimize-sibling-calls
                             -o ${where}/leaks_plugin.so ${leaks_dir}/plugin.c)
  set(leaks_programs ${leaks_programs} ${where}/leaks_plugin.so PARENT_SCOPE)
endfunction()

foreach(level 0 2)
  leaks_build(gcc-O${level} gcc g++ -O${level})
  leaks_build(clang-O${level} clang clang++ -O${level})
endforeach()
leaks_build(clang-lsan clang clang++ -O2 -fsanitize=leak)
add_custom_target(leak_victims ALL DEPENDS ${leaks_programs})

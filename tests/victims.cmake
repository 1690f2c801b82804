# Small programs with known behaviour, for the end-to-end tests (tests/e2e).
foreach(victim known lives sizes spin ends forks inherit churn reloads unwinding hostile_memory hostile_process hostile_signals hostile_limits
        allocators mapped leaky slow_server handoff no_database)
  add_executable(victim_${victim} victims/${victim}.c)
  target_compile_definitions(victim_${victim} PRIVATE _GNU_SOURCE)
  target_compile_options(victim_${victim} PRIVATE -O2 -g -fomit-frame-pointer -fno-builtin-malloc -fno-builtin-calloc)
  set_target_properties(victim_${victim} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
endforeach()
target_compile_options(victim_handoff PRIVATE -iquote ${PROJECT_SOURCE_DIR}/preload)
add_library(victim_hostile_plugin MODULE victims/hostile_plugin.c)
target_compile_options(victim_hostile_plugin PRIVATE -O2 -g -fno-builtin-malloc)
set_target_properties(victim_hostile_plugin PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
# Where the allocators are installed, programs that are linked with them.
foreach(allocator jemalloc:libjemalloc.so.2 tcmalloc:libtcmalloc_minimal.so.4 mimalloc:libmimalloc.so.2)
  string(REPLACE ":" ";" pair ${allocator})
  list(GET pair 0 name)
  list(GET pair 1 file)
  find_library(ALLOCATOR_${name} NAMES ${file})
  if(ALLOCATOR_${name})
    foreach(victim known allocators)
      add_executable(victim_${victim}_${name} victims/${victim}.c)
      target_compile_definitions(victim_${victim}_${name} PRIVATE _GNU_SOURCE)
      target_compile_options(victim_${victim}_${name} PRIVATE -O2 -g -fomit-frame-pointer -fno-builtin-malloc -fno-builtin-calloc)
      target_link_options(victim_${victim}_${name} PRIVATE -Wl,--no-as-needed)
      target_link_libraries(victim_${victim}_${name} PRIVATE ${ALLOCATOR_${name}})
      set_target_properties(victim_${victim}_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
    endforeach()
  endif()
endforeach()
# A stand-in for a database library.
find_package(Threads REQUIRED)
add_library(database_standin SHARED victims/database_standin.c)
add_executable(victim_database_jumps victims/database_jumps.c)
target_compile_options(victim_database_jumps PRIVATE -O2 -g)
target_link_libraries(victim_database_jumps PRIVATE database_standin Threads::Threads)
set_target_properties(database_standin victim_database_jumps PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims
                      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
# Where their libraries are installed, programs that call databases.
foreach(database pq:libpq.so.5 sqlite:libsqlite3.so.0 mysql:libmariadb.so.3)
  string(REPLACE ":" ";" pair ${database})
  list(GET pair 0 name)
  list(GET pair 1 file)
  find_library(DATABASE_${name} NAMES ${file})
  if(DATABASE_${name})
    add_executable(victim_${name}_calls victims/${name}_calls.c)
    target_compile_options(victim_${name}_calls PRIVATE -O2 -g)
    target_link_libraries(victim_${name}_calls PRIVATE ${DATABASE_${name}})
    set_target_properties(victim_${name}_calls PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
  endif()
endforeach()
foreach(plugin first second)
  add_library(victim_plugin_${plugin} MODULE victims/reload_plugin.c)
  target_compile_options(victim_plugin_${plugin} PRIVATE -O2 -g -fno-builtin-malloc)
  set_target_properties(victim_plugin_${plugin} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
endforeach()
target_compile_definitions(victim_plugin_first PRIVATE NAME=first PAD="16")
target_compile_definitions(victim_plugin_second PRIVATE NAME=second PAD="512")

# Victims in C++, compiled by the command: the project itself has no C++.
find_program(CXX_FOR_VICTIMS g++)
if(CXX_FOR_VICTIMS AND NOT CMAKE_CROSSCOMPILING)
  function(victim_cxx name)
    set(output ${CMAKE_BINARY_DIR}/victims/victim_${name})
    add_custom_command(OUTPUT ${output} DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/victims/${name}.cc VERBATIM
                       COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/victims
                       COMMAND ${CXX_FOR_VICTIMS} -std=c++17 -O2 -g -w -fno-builtin -pthread ${ARGN} -o ${output}
                               ${CMAKE_CURRENT_SOURCE_DIR}/victims/${name}.cc)
    add_custom_target(victim_${name} ALL DEPENDS ${output})
  endfunction()
  victim_cxx(misuse)
endif()
# Loaded and unloaded by victim_unwinding.
foreach(plugin small large)
  add_library(plugin_${plugin} MODULE victims/plugin.c)
  target_compile_options(plugin_${plugin} PRIVATE -O2 -g -fomit-frame-pointer -fno-stack-protector)
  target_compile_definitions(plugin_${plugin} PRIVATE PLUGIN_ROOM=$<IF:$<STREQUAL:${plugin},small>,256,2048>)
  set_target_properties(plugin_${plugin} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
endforeach()
# C++ and Rust take part where their compilers are installed, and only for this machine.
find_program(CXX_FOR_VICTIMS g++)
if(CXX_FOR_VICTIMS AND NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/victims/victim_virtuals
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/victims
    COMMAND ${CXX_FOR_VICTIMS} -std=c++17 -O2 -g -o ${CMAKE_BINARY_DIR}/victims/victim_virtuals
      ${CMAKE_CURRENT_SOURCE_DIR}/victims/virtuals.cc
    DEPENDS victims/virtuals.cc VERBATIM)
  add_custom_target(victim_virtuals ALL DEPENDS ${CMAKE_BINARY_DIR}/victims/victim_virtuals)
endif()
find_program(RUSTC_FOR_VICTIMS rustc)
if(RUSTC_FOR_VICTIMS AND NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/victims/victim_rust_threads
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/victims
    COMMAND ${RUSTC_FOR_VICTIMS} -O -g -o ${CMAKE_BINARY_DIR}/victims/victim_rust_threads
      ${CMAKE_CURRENT_SOURCE_DIR}/victims/rust_threads.rs
    DEPENDS victims/rust_threads.rs VERBATIM)
  add_custom_target(victim_rust_threads ALL DEPENDS ${CMAKE_BINARY_DIR}/victims/victim_rust_threads)
endif()

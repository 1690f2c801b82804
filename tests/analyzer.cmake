# The analyzer's tests. fake/ makes their inputs.
add_library(test_snapshots STATIC fake/snapshot_build.c)
target_include_directories(test_snapshots PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/fake)
target_link_libraries(test_snapshots PUBLIC analyzer_core)
add_executable(write_example fake/write_example.c)
target_link_libraries(write_example PRIVATE test_snapshots)

perfprobe_unit_test(snapshot_read test_snapshots)
target_compile_definitions(test_snapshot_read PRIVATE GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
perfprobe_unit_test(demangle analyzer_core)
perfprobe_unit_test(by_thread test_snapshots)
perfprobe_unit_test(suppressions analyzer_core)
perfprobe_unit_test(trend analyzer_core)
perfprobe_unit_test(leaks test_snapshots)
perfprobe_unit_test(view_heap analyzer_core)
perfprobe_unit_test(profile test_snapshots)
target_link_options(test_profile PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free)

# perfprobe_fuzz(<name> <library>...): fuzz/fuzz_<name>.c. With libFuzzer in the preset fuzz; elsewhere fed the corpus and
# every input that once failed.
function(perfprobe_fuzz name)
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/regress/${name})
  if(PERFPROBE_FUZZ)
    add_executable(fuzz_${name} fuzz/fuzz_${name}.c)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} -runs=0 ${corpus})
  else()
    add_executable(fuzz_${name} fuzz/fuzz_${name}.c fuzz/fuzz_driver.c)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${corpus})
  endif()
  target_link_libraries(fuzz_${name} PRIVATE ${ARGN})
  set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 120)
endfunction()
perfprobe_fuzz(snapshot analyzer_views test_snapshots)
perfprobe_fuzz(demangle analyzer_core)

# Programs that the symbolizer is asked about. Built without the tree's flags: what matters is what compilers usually do.
# C++ and Rust take part where their compilers are installed.
add_executable(symbols_c fake/symbols_c.c)
target_compile_options(symbols_c PRIVATE -O2 -g -fno-sanitize=all)
target_link_options(symbols_c PRIVATE -Wl,--build-id=sha1)
perfprobe_unit_test(symbolize test_snapshots)
target_compile_definitions(test_symbolize PRIVATE SYMBOLS_C="$<TARGET_FILE:symbols_c>" OBJCOPY="${CMAKE_OBJCOPY}"
  OBJDUMP="${CMAKE_OBJDUMP}")
add_dependencies(test_symbolize symbols_c)

# symbols_program(<name> <source> <command>...): a program built by another compiler.
function(symbols_program name source)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name})
  add_custom_command(OUTPUT ${output} COMMAND ${ARGN} -o ${output} ${CMAKE_CURRENT_SOURCE_DIR}/fake/${source}
                     DEPENDS fake/${source} VERBATIM)
  add_custom_target(build_${name} DEPENDS ${output})
  add_dependencies(test_symbolize build_${name})
  string(TOUPPER ${name} define)
  target_compile_definitions(test_symbolize PRIVATE ${define}="${output}")
endfunction()
find_program(CXX_FOR_TESTS g++)
if(CXX_FOR_TESTS)
  symbols_program(symbols_cxx symbols_cxx.cc ${CXX_FOR_TESTS} -O2 -g)
endif()
find_program(RUSTC_FOR_TESTS rustc)
if(RUSTC_FOR_TESTS)
  symbols_program(symbols_rust symbols_rust.rs ${RUSTC_FOR_TESTS} -O -g)
endif()

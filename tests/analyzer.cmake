# The analyzer's tests. fake/ makes their inputs.
add_library(test_snapshots STATIC fake/live_build.c fake/snapshot_build.c)
target_include_directories(test_snapshots PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/fake)
target_link_libraries(test_snapshots PUBLIC analyzer_core)
add_executable(write_example fake/write_example.c)
target_link_libraries(write_example PRIVATE test_snapshots)

perfprobe_unit_test(snapshot_read test_snapshots)
target_compile_definitions(test_snapshot_read PRIVATE GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
perfprobe_unit_test(live_read test_snapshots)
target_compile_definitions(test_live_read PRIVATE GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
perfprobe_unit_test(demangle analyzer_core)
perfprobe_unit_test(by_thread test_snapshots)
perfprobe_unit_test(suppressions analyzer_core)
perfprobe_unit_test(trend analyzer_core)
perfprobe_unit_test(paths analyzer_core)
perfprobe_unit_test(leaks test_snapshots)
perfprobe_unit_test(merge test_snapshots)
perfprobe_unit_test(view_heap analyzer_core)
perfprobe_unit_test(profile test_snapshots)
target_link_options(test_profile PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free)

# perfprobe_fuzz(<name> <library>...): fuzz/fuzz_<name>.c. With libFuzzer in the preset fuzz; elsewhere fed the corpus and
# every input that once failed.
function(perfprobe_fuzz name)
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/regress/${name})
  list(APPEND corpus ${perfprobe_fuzz_made}) # by the build
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
add_library(views_check STATIC fuzz/merge_check.c fuzz/views_check.c)
target_include_directories(views_check PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/fuzz)
target_link_libraries(views_check PUBLIC analyzer_views test_snapshots)
perfprobe_fuzz(snapshot views_check test_snapshots)
perfprobe_fuzz(live views_check test_snapshots)
perfprobe_fuzz(demangle analyzer_core)
perfprobe_fuzz(grpc_web analyzer_views)
perfprobe_fuzz(kernel_symbols analyzer_core)
perfprobe_fuzz(suppressions analyzer_core)
perfprobe_fuzz(symbol_file analyzer_core)

# Programs that the symbolizer is asked about. Built without the tree's flags: what matters is what compilers usually do.
# C++ and Rust take part where their compilers are installed.
add_executable(symbols_c fake/symbols_c.c)
target_compile_options(symbols_c PRIVATE -O2 -g -fno-sanitize=all)
target_link_options(symbols_c PRIVATE -Wl,--build-id=sha1)
perfprobe_unit_test(symbolize test_snapshots)
perfprobe_unit_test(kernel_symbols analyzer_core)
perfprobe_unit_test(symbol_cache analyzer_core)
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
# Small files for the fuzzers of ELF and DWARF to begin with: a program with everything, the same stripped and with older DWARF, a
# library with a PLT, an object file.
set(tiny ${CMAKE_CURRENT_BINARY_DIR}/tiny_elf)
set(tiny_object ${CMAKE_C_COMPILER} -O1 -ffreestanding -fno-stack-protector ${CMAKE_CURRENT_SOURCE_DIR}/fake/tiny_elf.c)
set(tiny_command ${tiny_object} -nostdlib -Wl,--build-id=sha1 -Wl,-z,norelro -Wl,-z,noseparate-code)
add_custom_command(OUTPUT ${tiny}/program ${tiny}/stripped ${tiny}/dwarf4 ${tiny}/library ${tiny}/object
                   COMMAND ${CMAKE_COMMAND} -E make_directory ${tiny}
                   COMMAND ${tiny_command} -g -static -o ${tiny}/program
                   COMMAND ${tiny_command} -s -static -o ${tiny}/stripped
                   COMMAND ${tiny_command} -gdwarf-4 -static -o ${tiny}/dwarf4
                   COMMAND ${tiny_command} -fPIC -shared -DIMPORT -o ${tiny}/library
                   COMMAND ${tiny_object} -g -DIMPORT -c -o ${tiny}/object
                   DEPENDS fake/tiny_elf.c VERBATIM)
add_custom_target(tiny_elf DEPENDS ${tiny}/program)
set(perfprobe_fuzz_made ${tiny})
perfprobe_fuzz(elf analyzer_core)
perfprobe_fuzz(dwarf test_snapshots)
unset(perfprobe_fuzz_made)
foreach(name elf dwarf)
  add_dependencies(fuzz_${name} tiny_elf)
endforeach()

find_program(CXX_FOR_TESTS g++)
if(CXX_FOR_TESTS)
  symbols_program(symbols_cxx symbols_cxx.cc ${CXX_FOR_TESTS} -O2 -g)
endif()
find_program(RUSTC_FOR_TESTS rustc)
if(RUSTC_FOR_TESTS)
  symbols_program(symbols_rust symbols_rust.rs ${RUSTC_FOR_TESTS} -O -g)
endif()

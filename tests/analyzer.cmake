# The analyzer's tests. fake/ makes their inputs.
add_library(test_snapshots STATIC fake/snapshot_build.c)
target_include_directories(test_snapshots PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/fake)
target_link_libraries(test_snapshots PUBLIC analyzer_core)
add_executable(write_example fake/write_example.c)
target_link_libraries(write_example PRIVATE test_snapshots)

perfprobe_unit_test(snapshot_read test_snapshots)
target_compile_definitions(test_snapshot_read PRIVATE GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
perfprobe_unit_test(demangle analyzer_core)

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
perfprobe_fuzz(snapshot test_snapshots)
perfprobe_fuzz(demangle analyzer_core)

# Tests of the load driver.
foreach(module body crew histogram http1 metrics plan schedule url)
  perfprobe_unit_test(${module} loadgen_core)
endforeach()

# Under libFuzzer (preset fuzz) the target explores; with other compilers fuzz_driver.c feeds it the corpus.
if(PERFPROBE_FUZZ)
  add_executable(fuzz_http1 fuzz/fuzz_http1.c)
  target_link_options(fuzz_http1 PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_http1 PRIVATE loadgen_core)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/corpus/http1) # what it finds goes here, not into the tree
  add_test(NAME fuzz.http1
    COMMAND fuzz_http1 -runs=200000 -max_len=4096 -seed=1 ${CMAKE_CURRENT_BINARY_DIR}/corpus/http1
      ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/http1)
elseif(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/fuzz_driver.c)
  add_executable(fuzz_http1 fuzz/fuzz_http1.c fuzz/fuzz_driver.c)
  target_link_libraries(fuzz_http1 PRIVATE loadgen_core)
  add_test(NAME fuzz.http1 COMMAND fuzz_http1 ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/http1)
endif()

# Tests of the load driver.
foreach(module body cookies crew histogram http1 jsonpath lint load metrics plan progress result schedule tally threshold url vu)
  perfprobe_unit_test(${module} loadgen_core)
endforeach()
target_compile_definitions(test_load PRIVATE PLANS="${CMAKE_CURRENT_SOURCE_DIR}/plans")

# Under libFuzzer (preset fuzz) the targets explore; with other compilers fuzz_driver.c feeds them the corpus.
foreach(target http1 body jsonpath plan result threshold)
  if(PERFPROBE_FUZZ)
    add_executable(fuzz_${target} fuzz/fuzz_${target}.c)
    target_link_options(fuzz_${target} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(fuzz_${target} PRIVATE loadgen_core)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/corpus/${target}) # what it finds goes here, not into the tree
    add_test(NAME fuzz.${target}
      COMMAND fuzz_${target} -runs=200000 -max_len=4096 -seed=1 ${CMAKE_CURRENT_BINARY_DIR}/corpus/${target}
        ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target})
  elseif(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/fuzz_driver.c)
    add_executable(fuzz_${target} fuzz/fuzz_${target}.c fuzz/fuzz_driver.c)
    target_link_libraries(fuzz_${target} PRIVATE loadgen_core)
    add_test(NAME fuzz.${target} COMMAND fuzz_${target} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target}
      ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/regress/${target})
  endif()
endforeach()

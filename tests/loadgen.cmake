# Tests of the load driver.
foreach(module body crew histogram http1 metrics plan schedule url)
  perfprobe_unit_test(${module} loadgen_core)
endforeach()

# Under libFuzzer (preset fuzz) the targets explore; with other compilers fuzz_driver.c feeds them the corpus.
foreach(target http1 body)
  if(PERFPROBE_FUZZ)
    add_executable(fuzz_${target} fuzz/fuzz_${target}.c)
    target_link_options(fuzz_${target} PRIVATE -fsanitize=fuzzer)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/corpus/${target}) # what it finds goes here, not into the tree
    add_test(NAME fuzz.${target}
      COMMAND fuzz_${target} -runs=200000 -max_len=4096 -seed=1 ${CMAKE_CURRENT_BINARY_DIR}/corpus/${target}
        ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target})
  else()
    add_executable(fuzz_${target} fuzz/fuzz_${target}.c fuzz/fuzz_driver.c)
    add_test(NAME fuzz.${target} COMMAND fuzz_${target} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target})
  endif()
  target_link_libraries(fuzz_${target} PRIVATE loadgen_core)
endforeach()

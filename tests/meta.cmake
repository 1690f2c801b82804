# Checks of the tree itself: standard-library Python, each one file, each a test of its own.
function(perfprobe_meta_test name)
  add_test(NAME meta.${name} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/meta/${name}.py ${ARGN})
  set_tests_properties(meta.${name} PROPERTIES TIMEOUT 120 LABELS meta)
endfunction()

# What does not depend on how the tree was built is looked at once, in the preset dev (or a plain build).
if(PERFPROBE_SANITIZE STREQUAL "" AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT PERFPROBE_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  perfprobe_meta_test(layers)
  perfprobe_meta_test(headers ${CMAKE_C_COMPILER})
  perfprobe_meta_test(format)
  perfprobe_meta_test(hygiene)
  perfprobe_meta_test(docs ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
endif()
if(TARGET perfprobe AND TARGET preload_core)
  perfprobe_meta_test(symbols $<TARGET_FILE:perfprobe> $<TARGET_FILE:preload_core>)
endif()

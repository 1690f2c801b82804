# The judge that tests/e2e/test_oracle.py preloads: the project's unwinder beside libunwind's.
if(TARGET perfprobe AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_library(oracle MODULE oracle/oracle.c)
  target_compile_options(oracle PRIVATE -O2 -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer
    -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free)
  target_link_libraries(oracle PRIVATE preload_core perfprobe_flags)
  target_link_options(oracle PRIVATE -Wl,-z,now -Wl,-z,defs -Wl,-Bsymbolic -Wl,--gc-sections -Wl,--exclude-libs,ALL)
  set_target_properties(oracle PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()

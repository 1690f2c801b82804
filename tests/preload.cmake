# Unit tests of the library's modules, without its interposers: they run under the sanitizers too.
if(TARGET preload_core)
  find_package(Threads REQUIRED)
  foreach(module config poisson stacks counters allocs eh_frame unwind capture misuse live samples)
    perfprobe_unit_test(${module} preload_core Threads::Threads m)
    target_compile_options(test_${module} PRIVATE -iquote ${PROJECT_SOURCE_DIR}/preload)
  endforeach()
endif()

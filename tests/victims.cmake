# Small programs with known behaviour, for the end-to-end tests (tests/e2e).
foreach(victim known sizes spin ends forks churn)
  add_executable(victim_${victim} victims/${victim}.c)
  target_compile_definitions(victim_${victim} PRIVATE _GNU_SOURCE)
  target_compile_options(victim_${victim} PRIVATE -O2 -g -fomit-frame-pointer -fno-builtin-malloc -fno-builtin-calloc)
  set_target_properties(victim_${victim} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/victims)
endforeach()

# Tests of pictures and exporters. What opens them for real (speedscope, Chrome DevTools) is driven from tests/e2e.
add_library(fake_profile STATIC fake/profile_build.c)
target_include_directories(fake_profile PUBLIC fake)
target_link_libraries(fake_profile PUBLIC analyzer_core)
add_executable(views_fixture fake/views_fixture.c)
target_link_libraries(views_fixture PRIVATE analyzer_views fake_profile)
foreach(module tree clean_text flamegraph export)
  perfprobe_unit_test(${module} analyzer_views fake_profile)
endforeach()

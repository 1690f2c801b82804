# The launcher: its parts, and the program itself with a stand-in for the library.
perfprobe_unit_test(launch_target launcher_core)

if(NOT CMAKE_CROSSCOMPILING) # it starts the launcher by its path
  add_library(fake_perfprobe SHARED launcher/fake_library.c)
  target_include_directories(fake_perfprobe PRIVATE ${PROJECT_SOURCE_DIR}/common)
  set_target_properties(fake_perfprobe PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/fake)
  add_test(NAME launcher.perfprobe
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/launcher/test_launcher.py
      $<TARGET_FILE:perfprobe_launcher> $<TARGET_FILE:fake_perfprobe>)
  set_tests_properties(launcher.perfprobe PROPERTIES TIMEOUT 120)
endif()

# Completion in the shells that are installed. It needs all three programs, started by their names.
if(NOT CMAKE_CROSSCOMPILING)
  add_test(NAME completion.shells
    COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/completion/test_completion.py
      ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR} $<TARGET_FILE:fake_perfprobe> ${CMAKE_COMMAND})
  set_tests_properties(completion.shells PROPERTIES TIMEOUT 240)
endif()

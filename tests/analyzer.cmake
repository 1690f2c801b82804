# The analyzer's tests. fake/ makes their inputs.
add_library(test_snapshots STATIC fake/snapshot_build.c)
target_include_directories(test_snapshots PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/fake)
target_link_libraries(test_snapshots PUBLIC analyzer_core)
add_executable(write_example fake/write_example.c)
target_link_libraries(write_example PRIVATE test_snapshots)

perfprobe_unit_test(snapshot_read test_snapshots)
target_compile_definitions(test_snapshot_read PRIVATE GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")

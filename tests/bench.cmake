# Programs that scripts/bench runs. Not tests; built so that they cannot rot, and run once for that reason.
find_package(Threads REQUIRED)
add_executable(bench_pair bench/pair.c)
target_link_libraries(bench_pair PRIVATE Threads::Threads perfprobe_flags)
add_test(NAME bench.pair_runs COMMAND bench_pair 2 1000 16)

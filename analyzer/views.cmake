pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(CURL REQUIRED libcurl) # its headers: the library is opened by http_post.c
# What turns profiles into pictures and files: one library, so that unit tests link it without the program.
set(embedded_files flamegraph.css flamegraph.js page.css page.js page_data.js page_flame.js page_live.js page_panels.js page_table.js
    page_time.js page_words.js)
list(TRANSFORM embedded_files PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
add_custom_command(
  OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/embedded.c
  COMMAND ${CMAKE_COMMAND} "-DINPUTS=${embedded_files}" -DHEADER=embedded.h -DOUTPUT=${CMAKE_CURRENT_BINARY_DIR}/embedded.c
          -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${embedded_files} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
  VERBATIM)
add_library(analyzer_views STATIC
  clean_text.c
  cmd_diff.c
  cmd_export.c
  cmd_flamegraph.c
  cmd_html.c
  cmd_leaks.c
  cmd_merge.c
  cmd_push.c
  cmd_top.c
  cmd_requests.c
  cmd_results.c
  cmd_serve.c
  export.c
  export_callgrind.c
  export_cpuprofile.c
  export_dhat.c
  export_firefox.c
  export_firefox_threads.c
  export_folded.c
  export_heapprofile.c
  export_json.c
  export_modules.c
  export_parts.c
  export_perf_script.c
  export_pprof.c
  export_samples.c
  export_sarif.c
  export_speedscope.c
  export_threads.c
  export_trace.c
  flamegraph.c
  flamegraph_data.c
  functions.c
  html.c
  html_data.c
  html_requests.c
  html_tree.c
  http_post.c
  join.c
  push.c
  screen.c
  serve.c
  serve_list.c
  serve_peer.c
  tree.c
  view_database.c
  view_leaks.c
  view_leaks_json.c
  view_top.c
  ${CMAKE_CURRENT_BINARY_DIR}/embedded.c)
target_include_directories(analyzer_views PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_include_directories(analyzer_views SYSTEM PRIVATE ${CURL_INCLUDE_DIRS})
target_link_libraries(analyzer_views PUBLIC analyzer_core common_hosted PkgConfig::ZLIB PkgConfig::MICROHTTPD m)

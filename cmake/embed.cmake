# cmake -DINPUTS="a.js;b.css" -DHEADER=embedded.h -DOUTPUT=embedded.c -P embed.cmake: files of text as arrays embedded_a_js,
# embedded_b_css, which the header declares. Some are put into CDATA sections, so one that holds the end mark of those is
# refused.
set(code "/* Made from the files named below; do not edit. */\n#include \"${HEADER}\"\n")
foreach(input ${INPUTS})
  file(READ ${input} text)
  string(FIND "${text}" "]]>" at)
  if(NOT at EQUAL -1)
    message(FATAL_ERROR "${input} holds ]]>, which would end the CDATA section it is put into")
  endif()
  file(READ ${input} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  get_filename_component(name ${input} NAME)
  string(MAKE_C_IDENTIFIER embedded_${name} name)
  string(APPEND code "const unsigned char ${name}[] = {\n${hex}};\nconst size_t ${name}_len = sizeof(${name});\n")
endforeach()
file(WRITE ${OUTPUT} "${code}")

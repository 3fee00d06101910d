# Generated sources: protobuf-c code from proto/schema, the option help from its comments, and
# the Redis function library from broker/state/lua.
find_program(PROTOC_C protoc-c REQUIRED)

function(vlmq_schema_library name)
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} proto/schema/*.proto)
  set(out ${CMAKE_BINARY_DIR}/gen)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS protos)
    string(REGEX REPLACE "\\.proto$" ".pb-c" base ${proto})
    add_custom_command(OUTPUT ${out}/${base}.c ${out}/${base}.h
      COMMAND ${PROTOC_C} --c_out=${out} --proto_path=${CMAKE_SOURCE_DIR} ${proto}
      # Clang looks into the macros of these headers: their cast must not look like dropping const.
      COMMAND sed -i "s/(char .)protobuf_c_empty/(char *)(uintptr_t)protobuf_c_empty/g"
        ${out}/${base}.h
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} DEPENDS ${CMAKE_SOURCE_DIR}/${proto} VERBATIM)
    list(APPEND sources ${out}/${base}.c)
  endforeach()
  # The comments of the job specs are the help texts of the client's options.
  file(GLOB specs CONFIGURE_DEPENDS proto/schema/jobs/*.proto)
  add_custom_command(OUTPUT ${out}/proto/schema/jobs_help.h
    COMMAND awk -f ${CMAKE_SOURCE_DIR}/cmake/help.awk ${specs} > ${out}/proto/schema/jobs_help.h
    DEPENDS ${specs} ${CMAKE_SOURCE_DIR}/cmake/help.awk VERBATIM)
  # A kind's header is included with all others, so a new kind needs no line of code here either.
  set(includes "/* Generated from the files in proto/schema/jobs. */\n")
  foreach(spec IN LISTS specs)
    get_filename_component(kind ${spec} NAME_WE)
    string(APPEND includes "#include \"proto/schema/jobs/${kind}.pb-c.h\"\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out}/proto/schema/jobs_all.h CONTENT "${includes}" @ONLY)
  add_library(${name} STATIC ${sources} ${out}/proto/schema/jobs_help.h)
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC PkgConfig::PROTOBUFC)
endfunction()

# Joins broker/state/lua/*.lua in name order, and the parts named after FOLDER, into a C byte array;
# FOLDER gets it as broker/state/lua_library.h.
function(vlmq_lua target folder)
  file(GLOB parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/broker/state/lua/*.lua)
  list(SORT parts)
  list(APPEND parts ${ARGN})
  set(out ${folder}/broker/state/lua_library.h)
  file(MAKE_DIRECTORY ${folder}/broker/state)
  add_custom_command(OUTPUT ${out}
    COMMAND sh ${CMAKE_SOURCE_DIR}/cmake/lua_embed.sh ${out} ${parts}
    DEPENDS ${parts} ${CMAKE_SOURCE_DIR}/cmake/lua_embed.sh VERBATIM)
  target_sources(${target} PRIVATE ${out})
  target_include_directories(${target} BEFORE PRIVATE ${folder})
endfunction()

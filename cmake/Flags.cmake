# Compiler flags of our own code; generated and third-party code is compiled without them.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17) # of tests only: kernels of the CUDA backend on the host
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Assertions are ours (CHECK) and stay on; optimisation is the same for all but the kernels.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_CXX_FLAGS_RELEASE ${CMAKE_C_FLAGS_RELEASE})
set(CMAKE_CXX_FLAGS_DEBUG ${CMAKE_C_FLAGS_DEBUG})

set(VLMQ_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
if(VLMQ_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(VLMQ_SANITIZE)
  add_compile_options(-fsanitize=${VLMQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VLMQ_SANITIZE})
else()
  add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  add_compile_options(-fstack-protector-strong)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

add_library(vlmq_options INTERFACE)
target_compile_definitions(vlmq_options INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE
  VLMQ_VERSION="${PROJECT_VERSION}")
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
target_include_directories(vlmq_options INTERFACE ${root})
target_compile_options(vlmq_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef
  -Wvla -Wformat=2 -Wswitch-enum -Wpointer-arith -Wcast-qual -Wwrite-strings -Wimplicit-fallthrough
  -Werror
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wjump-misses-init>
  $<$<C_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op -Walloc-zero -Wno-format-truncation>
  $<$<C_COMPILER_ID:Clang>:-Wcomma -Wthread-safety -Wunreachable-code>)

function(vlmq_flags target)
  target_link_libraries(${target} PRIVATE vlmq_options)
endfunction()

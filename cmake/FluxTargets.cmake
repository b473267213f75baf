# How this project's targets are made. Each folder of src/common is one static library, each folder of src/modules one
# actor: an object library, linked once into NAME.so for the broker and once into flux-sim.

set(FLUX_WARNINGS -Wall -Wextra -Wno-missing-field-initializers -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # Of std::string's own code, once it is inlined: gcc bugs 105329, 105651.
    list(APPEND FLUX_WARNINGS -Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow
        -Wno-stringop-overread)
endif()
add_compile_options(${FLUX_WARNINGS} -fno-plt)
if(FLUX_SANITIZE)
    foreach(sanitizer ${FLUX_SANITIZE})
        add_compile_options(-fsanitize=${sanitizer})
        add_link_options(-fsanitize=${sanitizer})
    endforeach()
    add_compile_options(-fno-omit-frame-pointer -g1)
endif()

# The libraries tell the fuzzers of t/fuzz which way an input goes.
option(FLUX_FUZZ "Build one libFuzzer program per decoder (clang 19 or later)" OFF)
if(FLUX_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
        message(FATAL_ERROR "FLUX_FUZZ needs clang 19 or later: configure with -DCMAKE_CXX_COMPILER=clang++-19")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()

# What a file costs is mostly the headers that it includes: a few files compiled as one take little longer than one.
option(FLUX_UNITY "Compile files of a library, module or test in groups" ON)
function(flux_unite target)
    if(FLUX_UNITY)
        set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 4)
        # A file's own types are not known as such in a group.
        target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    endif()
endfunction()

# Above src/common nearly every file includes src/common/client, and every test GoogleTest as well: precompiled with the
# standard headers they save a third of what such a file costs. Not with a compiler cache, which knows a precompiled
# header by its bytes, and those are never twice the same.
if(CMAKE_CXX_COMPILER_LAUNCHER)
    set(precompile_more OFF)
else()
    set(precompile_more ON)
endif()
option(FLUX_PRECOMPILE_MORE "Precompile headers of our own too, not only the standard ones" ${precompile_more})

# flux_precompiled_headers(NAME HEADER [DEPENDS libs...]): what flux_precompiled lets targets reuse.
function(flux_precompiled_headers name header)
    cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
    file(CONFIGURE OUTPUT ${name}.cpp CONTENT "")
    add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
    target_precompile_headers(${name} PRIVATE ${header})
endfunction()

function(flux_precompiled target)
    set(headers flux_base)
    if(FLUX_PRECOMPILE_MORE AND CMAKE_CURRENT_SOURCE_DIR MATCHES "^${CMAKE_SOURCE_DIR}/t/unit")
        set(headers flux_test_headers)
    elseif(FLUX_PRECOMPILE_MORE AND NOT CMAKE_CURRENT_SOURCE_DIR MATCHES "^${CMAKE_SOURCE_DIR}/src/common/")
        set(headers flux_client_headers)
    endif()
    target_precompile_headers(${target} REUSE_FROM ${headers})
endfunction()

add_custom_target(sanitized) # what ./check builds, and runs, a second time under sanitizers

# flux_library(NAME SOURCES... [SEPARATE] [DEPENDS libs...]): one floor of the house. SEPARATE, here and in flux_test:
# each file by itself, where several have functions of the same name or not every program needs all of them.
function(flux_library name)
    cmake_parse_arguments(ARG "SEPARATE" "" "DEPENDS" ${ARGN})
    add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
    if(NOT ARG_SEPARATE)
        flux_unite(${name})
    endif()
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name} PUBLIC ${ARG_DEPENDS})
    if(NOT name STREQUAL "flux_base")
        flux_precompiled(${name})
    endif()
    set_property(GLOBAL APPEND PROPERTY FLUX_LIBRARIES ${name})
endfunction()

# flux_module(NAME SOURCES... [DEPENDS libs...]): src/modules/NAME as an object library flux_module_NAME and as NAME.so.
# The .so leaves the common code undefined: the broker's executable provides it.
function(flux_module name)
    cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
    string(REPLACE "-" "_" id ${name})
    add_library(flux_module_${id} OBJECT ${ARG_UNPARSED_ARGUMENTS})
    flux_unite(flux_module_${id})
    target_include_directories(flux_module_${id} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(flux_module_${id} PUBLIC ${ARG_DEPENDS})
    flux_precompiled(flux_module_${id})
    add_library(flux_${id}_so MODULE $<TARGET_OBJECTS:flux_module_${id}>)
    list(FILTER ARG_DEPENDS EXCLUDE REGEX "^flux_")
    target_link_libraries(flux_${id}_so PRIVATE ${ARG_DEPENDS})
    set_target_properties(flux_${id}_so PROPERTIES PREFIX "" OUTPUT_NAME ${name}
        LIBRARY_OUTPUT_DIRECTORY ${FLUX_MODULE_OUTPUT_DIRECTORY})
    install(TARGETS flux_${id}_so LIBRARY DESTINATION lib/flux/modules)
    set_property(GLOBAL APPEND PROPERTY FLUX_MODULES flux_module_${id})
    set_property(GLOBAL APPEND PROPERTY FLUX_MODULE_SOS flux_${id}_so)
endfunction()

# flux_test(NAME SOURCES... [SEPARATE] [DEPENDS libs...]): one GoogleTest program, build/t/NAME, run by ctest as NAME.
function(flux_test name)
    cmake_parse_arguments(ARG "SEPARATE" "" "DEPENDS;LABELS" ${ARGN})
    add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
    if(NOT ARG_SEPARATE)
        flux_unite(${name})
    endif()
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gtest_main flux_static_deps Threads::Threads)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/t)
    flux_precompiled(${name})
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>) # a test spends its time in what it tests
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/t)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/t)
    set_tests_properties(${name} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 300)
    add_dependencies(sanitized ${name})
endfunction()

# Third-party libraries, one imported name each. A missing one is named together with the Debian package that has it.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(CZMQ REQUIRED IMPORTED_TARGET libczmq)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(MD REQUIRED IMPORTED_TARGET libmd)
find_package(GTest REQUIRED)

find_path(EV_INCLUDE ev.h REQUIRED)

# flux and flux-shell start thousands of times: everything but libc is linked into them. The broker exports the same
# libraries to its modules.
foreach(lib jansson ev md)
    find_library(FLUX_${lib}_STATIC NAMES lib${lib}.a REQUIRED)
endforeach()
add_library(flux_static_deps INTERFACE)
target_link_libraries(flux_static_deps INTERFACE ${FLUX_jansson_STATIC} ${FLUX_ev_STATIC} ${FLUX_md_STATIC} m)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)

# The allocator of the broker, and of simulated ones (src/broker/allocator.cpp); a sanitizer brings its own.
add_library(flux_allocator INTERFACE)
if(NOT FLUX_SANITIZE)
    find_library(FLUX_JEMALLOC NAMES libjemalloc_pic.a REQUIRED)
    target_sources(flux_allocator INTERFACE ${CMAKE_SOURCE_DIR}/src/broker/allocator.cpp)
    target_link_libraries(flux_allocator INTERFACE ${FLUX_JEMALLOC} Threads::Threads ${CMAKE_DL_LIBS} m)
endif()

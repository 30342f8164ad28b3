# Every library comes from the distribution (docs/dependencies.md says why each); only what a portable binary cannot get
# there as a static library is fetched, pinned by hash.
if(ATTUNE_PORTABLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endif()
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)

# Only headers: the driver and NVRTC are loaded at run time, so one binary runs with and without them.
find_package(CUDAToolkit QUIET)

add_library(attune_fmt INTERFACE)
add_library(attune_muparser INTERFACE)
add_library(attune_crypto INTERFACE)
if(ATTUNE_PORTABLE)
    include(FetchContent)
    set(ATTUNE_MUPARSER_ARCHIVE https://github.com/beltoforion/muparser/archive/refs/tags/v2.3.3.tar.gz
        CACHE STRING "muParser's source archive: a URL or a file")
    foreach(option ENABLE_SAMPLES ENABLE_OPENMP BUILD_SHARED_LIBS)
        set(${option} OFF CACHE BOOL "of muParser" FORCE)
    endforeach()
    FetchContent_Declare(
        muparser
        URL ${ATTUNE_MUPARSER_ARCHIVE}
        URL_HASH SHA256=91d26d8274ae9cd9c776ee58250aeddc6b574f369eafd03b25045b858a2b8177)
    FetchContent_MakeAvailable(muparser)
    target_link_libraries(attune_muparser INTERFACE muparser)
    target_link_libraries(attune_fmt INTERFACE fmt::fmt-header-only)
    target_link_libraries(attune_crypto INTERFACE OpenSSL::Crypto ${CMAKE_DL_LIBS} Threads::Threads)
else()
    find_library(MUPARSER_LIBRARY muparser REQUIRED)
    find_path(MUPARSER_INCLUDE muParser.h REQUIRED)
    target_link_libraries(attune_muparser INTERFACE ${MUPARSER_LIBRARY})
    target_include_directories(attune_muparser SYSTEM INTERFACE ${MUPARSER_INCLUDE})
    target_link_libraries(attune_fmt INTERFACE fmt::fmt)
    target_link_libraries(attune_crypto INTERFACE OpenSSL::Crypto)
endif()

# attune_module(NAME SOURCES … DEPENDS …): one static library a folder of driver/, named attune_NAME.
add_library(attune_warnings INTERFACE)
target_compile_options(attune_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow)
if(ATTUNE_WERROR)
    target_compile_options(attune_warnings INTERFACE -Werror)
endif()

function(attune_module name)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
    add_library(attune_${name} STATIC ${ARG_SOURCES})
    target_include_directories(attune_${name} PUBLIC ${CMAKE_SOURCE_DIR}/driver ${CMAKE_SOURCE_DIR}/kernel_templates/include)
    target_link_libraries(attune_${name} PUBLIC attune_fmt ${ARG_DEPENDS} PRIVATE attune_warnings)
endfunction()

# attune_embed(TARGET FILE NAME): the text of FILE as `extern const std::string_view NAME` in namespace attune::embedded.
function(attune_embed target file name)
    set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cpp)
    add_custom_command(
        OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_CURRENT_SOURCE_DIR}/${file} -DOUTPUT=${output} -DNAME=${name}
                -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
        DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake)
    target_sources(${target} PRIVATE ${output})
endfunction()

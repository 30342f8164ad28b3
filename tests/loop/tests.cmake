attune_test(loop_test
    SOURCES
        ${CMAKE_CURRENT_SOURCE_DIR}/loop/evaluate_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/loop/loop_test.cpp
    DEPENDS attune_loop attune_config
    LABELS loop)

attune_test(core_clipped_text_test SOURCES core/clipped_text_test.cpp DEPENDS attune_core)
attune_test(core_expression_test SOURCES core/expression_test.cpp DEPENDS attune_core)
attune_test(core_space_test SOURCES core/space_test.cpp DEPENDS attune_core)
attune_test(core_template_test SOURCES core/template_test.cpp DEPENDS attune_config)
attune_test(core_workload_test
    SOURCES core/workload_test.cpp core/workload_inputs_test.cpp core/workload_reference_test.cpp
    DEPENDS attune_core nlohmann_json::nlohmann_json)
attune_test(core_study_test SOURCES core/study_test.cpp DEPENDS attune_config)
attune_test(core_statistics_test SOURCES core/statistics_test.cpp DEPENDS attune_core)
attune_test(core_noise_floor_test SOURCES core/noise_floor_test.cpp DEPENDS attune_core)
attune_test(core_verdict_test SOURCES core/verdict_test.cpp DEPENDS attune_core)

attune_test(core_expression_test SOURCES core/expression_test.cpp DEPENDS attune_core)
attune_test(core_workload_test SOURCES core/workload_test.cpp DEPENDS attune_core nlohmann_json::nlohmann_json)

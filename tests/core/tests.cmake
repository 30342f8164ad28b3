attune_test(core_expression_test SOURCES core/expression_test.cpp DEPENDS attune_core)

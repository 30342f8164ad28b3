attune_test(cli_agent_test SOURCES cli/agent_test.cpp DEPENDS attune_core nlohmann_json::nlohmann_json)
attune_test(cli_huge_space_test SOURCES cli/huge_space_test.cpp DEPENDS attune_core nlohmann_json::nlohmann_json)
attune_test(cli_record_commands_test SOURCES cli/record_commands_test.cpp DEPENDS attune_cli)
attune_test(cli_unified_diff_test SOURCES cli/unified_diff_test.cpp DEPENDS attune_cli)

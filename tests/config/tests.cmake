attune_test(config_json_reader_test SOURCES config/json_reader_test.cpp DEPENDS attune_config)
attune_test(config_suite_test SOURCES config/suite_test.cpp DEPENDS attune_config)

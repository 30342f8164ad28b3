attune_test(store_test SOURCES store/store_test.cpp DEPENDS attune_store)
attune_test(store_reader_test SOURCES store/reader_test.cpp DEPENDS attune_store)
attune_test(store_environment_test SOURCES store/store_environment_test.cpp DEPENDS attune_store)
attune_test(store_kill_test SOURCES store/store_kill_test.cpp DEPENDS attune_store)

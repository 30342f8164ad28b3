attune_test(store_test SOURCES store/store_test.cpp DEPENDS attune_store)

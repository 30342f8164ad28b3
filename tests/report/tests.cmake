attune_test(report_effects_test SOURCES report/effects_test.cpp DEPENDS attune_report)
attune_test(report_floors_test SOURCES report/floors_test.cpp DEPENDS attune_report attune_config)
attune_test(report_page_test SOURCES report/page_test.cpp DEPENDS attune_report)
attune_test(report_watch_test SOURCES report/watch_test.cpp DEPENDS attune_store)

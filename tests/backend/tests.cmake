attune_test(backend_cpu_test
    SOURCES backend/cpu_artifact_cache_test.cpp backend/cpu_compiler_test.cpp backend/cpu_device_test.cpp
    DEPENDS attune_backend_cpu attune_config)

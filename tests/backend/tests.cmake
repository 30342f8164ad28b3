attune_test(backend_cpu_test
    SOURCES backend/cpu_artifact_cache_test.cpp backend/cpu_compiler_test.cpp backend/cpu_device_test.cpp
    DEPENDS attune_backend_cpu attune_config)

# The driver's CUDA kernels, on the CPU. Like any CUDA source they read 16 bytes at once, whatever the type.
attune_test(backend_cuda_device_code_test SOURCES backend/cuda_device_code_test.cpp DEPENDS attune_core)
target_compile_options(backend_cuda_device_code_test PRIVATE -fno-strict-aliasing -Wno-psabi)

attune_test(backend_cuda_host_lead_test SOURCES backend/cuda_host_lead_test.cpp DEPENDS attune_core)

# The Hopper template, on the CPU too; each candidate is compiled when its test runs.
attune_test(backend_hopper_kernel_test SOURCES backend/hopper_kernel_test.cpp DEPENDS attune_core attune_config)
target_compile_definitions(backend_hopper_kernel_test PRIVATE ATTUNE_CXX="${CMAKE_CXX_COMPILER}")

if(CUDAToolkit_FOUND)
    attune_test(backend_cuda_compiler_test
        SOURCES backend/cuda_log_test.cpp backend/cuda_nvrtc_test.cpp
        DEPENDS attune_backend_cuda)
    target_include_directories(backend_cuda_compiler_test SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    attune_test(backend_cuda_templates_test
        SOURCES backend/cuda_templates_test.cpp
        DEPENDS attune_backend_cuda attune_config)
    attune_test(backend_cuda_device_test
        SOURCES backend/cuda_device_test.cpp
        DEPENDS attune_backend_cuda attune_config
        LABELS gpu)
endif()

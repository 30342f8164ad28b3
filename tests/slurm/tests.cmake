# A Slurm cluster of this one machine, started and removed by the test; skipped without root or Slurm.
add_test(NAME slurm_sweep COMMAND ${CMAKE_CURRENT_LIST_DIR}/run_slurm_test $<TARGET_FILE:attune>)
set_tests_properties(slurm_sweep PROPERTIES LABELS slurm SKIP_RETURN_CODE 77 TIMEOUT 450 RUN_SERIAL ON)

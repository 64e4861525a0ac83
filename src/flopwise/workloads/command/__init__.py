"""Any program in any language as a workload."""

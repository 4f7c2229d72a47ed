"""What runs workloads: the contract, this machine, and what a workload became."""

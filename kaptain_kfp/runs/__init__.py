"""What runs pipelines: the contract and this machine."""

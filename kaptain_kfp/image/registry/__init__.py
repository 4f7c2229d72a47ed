"""Image registries: a client of the OCI distribution protocol."""

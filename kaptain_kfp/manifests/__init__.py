"""From specs to Kubernetes manifests: pure functions."""

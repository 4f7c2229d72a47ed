"""What `kaptain doctor` looks at: this machine, and the Kubeflow that is configured."""

"""What the deployment of a model is described with."""

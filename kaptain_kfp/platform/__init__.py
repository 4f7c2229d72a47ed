"""What a training script imports, and how credentials are provided."""

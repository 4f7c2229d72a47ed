"""From an action of a model to a pipeline."""

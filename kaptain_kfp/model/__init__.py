"""The model: its facade, properties, states and actions."""

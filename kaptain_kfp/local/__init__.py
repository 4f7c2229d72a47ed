"""This machine as a cluster: objects, controllers, processes."""

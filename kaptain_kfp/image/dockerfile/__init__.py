"""Dockerfiles: read, and built without Docker where they only copy, set and pip install."""

"""Layers of images: what goes into each, written so that the same content has the same digest."""

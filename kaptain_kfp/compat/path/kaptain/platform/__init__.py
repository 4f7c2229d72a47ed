"""The names under which training scripts know their helpers."""

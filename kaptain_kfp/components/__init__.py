"""The reusable pipeline components, one file each, and what their steps share."""

"""Records metrics."""

from kaptain_kfp.platform.metadata_util import MetadataUtil

__all__ = ["MetadataUtil"]

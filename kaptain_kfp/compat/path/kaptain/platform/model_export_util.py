"""Stores a trained model."""

from kaptain_kfp.platform.model_export_util import ModelExportUtil

__all__ = ["ModelExportUtil"]

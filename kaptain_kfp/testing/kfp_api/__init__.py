"""Kubeflow Pipelines' REST API (v2beta1) on the local engine: for the real ``kfp.Client``.

What is submitted is really executed, on this machine, with the environment of a step of Kubeflow.
"""

from .face import KfpFace, serve_kfp

__all__ = ["KfpFace", "serve_kfp"]

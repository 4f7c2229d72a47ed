"""The Kubernetes API over HTTP, on the local engine: for real clients over a real socket.

Use it in a test::

    with serve_kubernetes(kaptain_home) as face:
        kubernetes.config.load_kube_config(str(face.kubeconfig))

or by hand: ``python -m kaptain_kfp.testing``.
"""

from .access import ADMINISTRATOR, Access, Rule, User
from .serve import KubernetesFace, serve_kubernetes

__all__ = ["ADMINISTRATOR", "Access", "KubernetesFace", "Rule", "User", "serve_kubernetes"]

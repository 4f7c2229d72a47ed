"""Kubeflow Pipelines' REST API (v2beta1) on the local engine: for the real ``kfp.Client``.

Use it in a test::

    with serve_kfp(kaptain_home, environment={...}) as face:
        client = kfp.Client(host=face.url)

What is submitted is really executed, on this machine, as lightweight Python components by
`kfp.local`; steps get the environment of a step of Kubeflow, their platform spec's Secrets and
ConfigMaps, and the launcher's rules (see `kaptain_kfp.runs.launcher`). ``:terminate`` takes a run's
executor away and nothing else; ``:retry`` goes on with the steps that failed: the pipeline is
walked through once more under the same ids, and what succeeded is answered with the outputs that it
left.

What differs from a cluster: nothing is cached; there are no pods for single steps (the one of the
whole run is labelled as theirs are); components that name an image and a command of their own, or
packages to install, are for clusters; artifacts lie in the run's folder, and their URIs are paths;
no input artifact is fetched from an object store; a run whose executor was killed is taken up
again, while a cluster fails a step whose pod was deleted. Task details hold no artifacts.
"""

from .face import KfpFace, serve_kfp

__all__ = ["KfpFace", "serve_kfp"]

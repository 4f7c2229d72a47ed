"""``kaptain setup``: what a cluster needs before it can be worked in."""

from __future__ import annotations

import click

from kaptain_kfp.manifests.rbac import DEFAULT_ACCOUNT

from .base import examples
from .component_image import component_image

__all__ = ["setup"]


_COMMAND = "component-image"
_OPTION = f"--{_COMMAND}"


class _Setup(click.Group):
    """Takes a command as an option, too: what stands beside that is for the command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the words behind ``setup``."""
        for place, word in enumerate(args):
            option, given, value = word.partition("=")
            # behind the name of a command every word is that command's
            if option == _OPTION and args[0].startswith("-"):
                repository = [value] if given else []
                args = [_COMMAND, *args[:place], *repository, *args[place + 1 :]]
                break
        return super().parse_args(ctx, args)


@click.group(cls=_Setup)
@click.option(
    _OPTION,
    metavar="REPO[:TAG]",
    expose_value=False,
    help=f"The same as the command {_COMMAND}, with all of its options.",
)
def setup() -> None:
    """Prepare a cluster."""


@setup.command(
    epilog=examples(
        "kaptain setup rbac -n team-a | kubectl apply -f -",
        "kaptain setup rbac -n team-a --service-account pipeline-runner --apply",
        "kaptain setup rbac -n team-a --for notebook --apply",
    )
)
@click.option("-n", "--namespace", help="Where; by default that of the kubeconfig or pod.")
@click.option(
    "--service-account",
    "accounts",
    multiple=True,
    default=(DEFAULT_ACCOUNT,),
    show_default=True,
    help="Who gets the rights; may be given several times.",
)
@click.option(
    "--for",
    "party",
    type=click.Choice(["steps", "notebook"]),
    default="steps",
    show_default=True,
    help="What the rights are for.",
)
@click.option("--apply", is_flag=True, help="Apply it; without this it is only printed.")
def rbac(namespace: str | None, accounts: tuple[str, ...], party: str, apply: bool) -> None:
    """Print or apply the Role and the RoleBinding for pipeline steps, or for notebooks."""
    import yaml

    from kaptain_kfp.cluster.kubernetes import KubernetesCluster
    from kaptain_kfp.cluster.kubernetes.access import find_access
    from kaptain_kfp.cluster.roles import ensure_role
    from kaptain_kfp.config import resolve_kube_context
    from kaptain_kfp.manifests import rbac as manifests

    (who,) = (known for known in manifests.PARTIES if known == party)
    context = resolve_kube_context()
    where = namespace or find_access(context=context).namespace
    wanted = [manifests.role(who, where), manifests.role_binding(who, where, accounts)]
    if not apply:
        click.echo(yaml.safe_dump_all(wanted, sort_keys=False), nl=False)
        return
    cluster = KubernetesCluster(where, context=context)
    for manifest in wanted:
        change = ensure_role(cluster, manifest)
        click.echo(f"{manifest['kind']}/{manifest['metadata']['name']} in {where}: {change}.")


setup.add_command(component_image)

"""From a request to its answer: who asks, what for, and who answers that."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timezone

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.kinds import KINDS, Kind, kind_of
from kaptain_kfp.local.objects import Objects

from ..schemas import Schemas
from . import access, discovery, openapi
from .access import Access, User
from .answers import NO_SUCH_PAGE, Answer, failure, text
from .calls import Call, manifest_of
from .logs import Log, log_of
from .paths import Target, target_of, verb_of
from .resources import Resources
from .services import Passed, Services
from .watches import Watch, watch_of
from .workflows import is_workflow, workflows

__all__ = ["Installed", "KubernetesApi"]


class Installed:
    """The custom kinds that a server has; may be changed from any thread while it runs.

    Args:
        without: Kinds whose CustomResourceDefinition isn't installed, e.g. ``TFJob``.
    """

    def __init__(self, without: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._off = {kind_of(word).kind for word in without}

    def switch(self, kind: str, *, on: bool) -> None:
        """Installs or uninstalls a kind; its objects stay, but nobody can see them."""
        with self._lock:
            (self._off.discard if on else self._off.add)(kind_of(kind).kind)

    def kinds(self) -> list[Kind]:
        """Returns what is there, the built-in kinds included."""
        with self._lock:
            return [kind for kind in KINDS if not (kind.custom and kind.kind in self._off)]


class KubernetesApi:
    """Answers requests; what goes on for a while is returned as what is to be told.

    Args:
        objects: The object database.
        rights: Who may do what.
        installed: Which kinds there are.
        schemas: What the schemas of custom kinds say of their objects.
        services: What is reached through the server; by default nothing.
    """

    def __init__(
        self,
        objects: Objects,
        rights: Access,
        installed: Installed,
        schemas: Schemas,
        services: Services | None = None,
    ) -> None:
        self._objects = objects
        self._rights = rights
        self._installed = installed
        self._schemas = schemas
        self._services = services or Services()
        self._resources = Resources(objects, schemas)

    def answer(self, call: Call) -> Answer | Passed | Watch | Log:
        """Answers one request, or returns what is to be watched or read for it."""
        user = self._rights.user(call.authorization)
        if user is None:
            return access.unauthorized()
        kinds = self._installed.kinds()
        said = discovery.about(call.path, kinds) if call.method == "GET" else None
        if said is None and call.method == "GET":
            said = openapi.document(call.path, kinds, self._schemas)
        if said is not None:
            return said
        target = target_of(call.path)
        if target is None:
            return NO_SUCH_PAGE
        if not target.resource:
            return discovery.resources_of(target, kinds)
        verb = verb_of(call.method, target, call.arguments)
        refused = None if _is(access.REVIEW, target) else access.refused(user, verb, target)
        if refused is None and (target.resource, target.subresource) == ("services", "proxy"):
            return self._services.pass_on(target, call)
        return refused or self._answer_about(user, verb, target, call, kinds)

    def _answer_about(
        self, user: User, verb: str, target: Target, call: Call, kinds: list[Kind]
    ) -> Answer | Watch | Log:
        if target.resource == "customresourcedefinitions":
            return discovery.custom_resource_definitions(target, verb, kinds)
        try:
            if _is(access.REVIEW, target):
                return access.review(user, manifest_of(call, access.REVIEW))
            if _is(access.REVIEW_OF_OTHER, target):
                sent = manifest_of(call, access.REVIEW_OF_OTHER)
                return access.review_of_other(self._rights, sent)
            if is_workflow(target):
                return workflows(self._objects, target, verb, call)
            kind = discovery.kind_of_target(target, kinds)
            if isinstance(kind, Answer):
                return kind
            if (kind.kind, target.subresource, verb) == ("Pod", "log", "get"):
                return self._log(target, call)
            if verb == "watch":
                return watch_of(kind, target, call.arguments)
        except ClusterError as error:
            return failure(error)
        return self._resources.answer(verb, kind, target, call)

    def _log(self, target: Target, call: Call) -> Answer | Log:
        pod = self._objects.get("Pod", target.name, target.namespace or "")
        found = log_of(pod, call.arguments, datetime.now(timezone.utc))
        return text("", 204) if found is None else found


def _is(review: Kind, target: Target) -> bool:
    return (target.api_version, target.resource) == (review.api_version, review.plural)

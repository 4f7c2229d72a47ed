"""How the plan of an action is shown: on a terminal and in a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actionplan import ActionPlan, PlannedObject, ResourceTotal

__all__ = ["html_of", "text_of"]

_MARKS = {"create": "+", "update": "~", "keep": "=", "refuse": "!", "unknown": "?"}
_EFFECTS = {
    "create": "is created",
    "update": "is brought up to date",
    "keep": "is there, and stays as it is",
    "refuse": "is somebody else's, and stays as it is",
    "unknown": "may be there or not",
}
_SENT = {True: "is sent", False: "is in the store already", None: "the store doesn't say"}


def text_of(plan: ActionPlan) -> str:
    """Returns a plan as plain text."""
    lines = [_title(plan), ""]
    width = max(map(len, _facts(plan)))
    for name, value in _facts(plan).items():
        first, *rest = value.splitlines() or [""]
        lines.append(f"{name.ljust(width)}  {first}".rstrip())
        lines += [" " * (width + 2) + line for line in rest]
    lines += ["", "Parameters", _indented(_yaml(plan.pipeline.parameters))]
    lines += ["", "Objects" if plan.objects else "Objects: none"]
    for planned in plan.objects:
        lines += [f"  {_headline(planned)}", *(f"      {change}" for change in planned.diff)]
        lines.append(_indented(_yaml(planned.manifest), 6))
    if plan.checks:
        lines += ["", "Checked by a dry run", *(f"  {line}" for line in _checks(plan))]
    lines += ["", "Problems" if plan.problems else "Problems: none"]
    lines += [_indented(problem) for problem in _problems(plan)]
    return "\n".join(lines)


def html_of(plan: ActionPlan) -> str:
    """Returns a plan as HTML that needs nothing else; every text is escaped."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{_block(value)}</td></tr>'
        for name, value in _facts(plan).items()
    )
    parts = [f"<p><b>{html.escape(_title(plan))}</b></p><table><tbody>{rows}</tbody></table>"]
    parts.append(_folded("Parameters", _yaml(plan.pipeline.parameters)))
    for planned in plan.objects:
        changes = "".join(f"{change}\n" for change in planned.diff)
        text = f"{changes}\n{_yaml(planned.manifest)}" if changes else _yaml(planned.manifest)
        parts.append(_folded(_headline(planned), text))
    lists = (("Checked by a dry run", _checks(plan)), ("Problems", _problems(plan)))
    for name, found in lists:
        items = "".join(f"<li>{_block(each)}</li>" for each in found)
        if items:
            parts.append(f"<p><b>{name}</b></p><ul>{items}</ul>")
    return f"<div>{''.join(parts)}</div>"


def _title(plan: ActionPlan) -> str:
    return f"Plan: {plan.action} {plan.model_id}. Nothing was sent."


def _facts(plan: ActionPlan) -> dict[str, str]:
    image, pipeline = plan.image, plan.pipeline
    run = "" if plan.sources else "; it needn't be run"
    facts = {
        "Target": f"{plan.target.name} ({plan.target.reason})",
        "Pipeline": f"{pipeline.name}, version {pipeline.version or 'unknown'}{run}",
        "Image": f"{image.name}\nchecksum {image.checksum}, on {image.base_image}\n{image.reason}",
    }
    if plan.sources:
        sent = (f"{one.path}: {_SENT[one.sent]}" for one in plan.sources)
        facts["Sources"] = "\n".join(sent)
    if plan.builder is not None:
        facts["Builder"] = f"{_total(plan.builder)}\ngone before anything else begins"
    if plan.resources is not None:
        facts["Resources"] = _total(plan.resources)
    return facts


def _total(total: ResourceTotal) -> str:
    amounts = (("requests", total.requests), ("limits", total.limits))
    told = [f"{word} {_amounts(of)}" for word, of in amounts if of]
    pods = "1 pod" if total.replicas == 1 else f"{total.replicas} pods together"
    return "\n".join([pods, *told])


def _amounts(amounts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in amounts.items())


def _headline(planned: PlannedObject) -> str:
    return f"{_MARKS[planned.effect]} {planned.resource} {_EFFECTS[planned.effect]}"


def _checks(plan: ActionPlan) -> Iterator[str]:
    for check in plan.checks:
        why = f": {check.message}" if check.message else ""
        yield f"{check.resource}: {check.verdict}{why}"


def _problems(plan: ActionPlan) -> Iterator[str]:
    for problem in plan.problems:
        yield f"{type(problem).__name__}: {problem}"


def _indented(text: str, by: int = 2) -> str:
    return textwrap.indent(text, " " * by)


def _yaml(value: Mapping[str, Any]) -> str:
    # imported here, since only who looks at a plan needs it
    import yaml

    text: str = yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip()


def _block(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _folded(headline: str, text: str) -> str:
    body = f'<pre style="text-align:left">{html.escape(text)}</pre>'
    return f"<details><summary>{html.escape(headline)}</summary>{body}</details>"

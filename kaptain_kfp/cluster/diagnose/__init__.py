"""What becomes of a workload, and where it goes wrong, one named error: pure functions.

Workload, pods, events and time go in. `verdict_of` reads the workload's own word, `failure` says
why it failed, and a `Lookout` sees what conditions don't say: pods that never start, or never end.
"""

from .failures import failure
from .grace import GracePeriods
from .lookout import Look, Lookout, event_subjects
from .pods import chief_of, culprit, is_over, spoiler
from .roll import Roll
from .verdicts import Phase, Verdict, main_container, verdict_of

__all__ = [
    "GracePeriods",
    "Look",
    "Lookout",
    "Phase",
    "Roll",
    "Verdict",
    "chief_of",
    "culprit",
    "event_subjects",
    "failure",
    "is_over",
    "main_container",
    "spoiler",
    "verdict_of",
]

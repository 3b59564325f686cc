"""Published results of the Long Range Arena, to be seen beside one's own; cells that we could not read are left out."""

import csv
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Published:
    """A published test accuracy.

    Attributes:
        percent: as printed; None: the model stayed at chance, or was not run.
        status: whether the source itself was read, or another that quotes it.
    """

    model: str
    percent: str | None
    source: str
    status: str


def published(task: str) -> list[Published]:
    """What has been published of a task, by its name; nothing of any other, and nothing of its small sister.

    >>> [each.percent for each in published("lra-image")][:2], published("digits")
    (['42.44', '40.83'], [])
    """
    text = (resources.files("selfpretrain.report") / "lra_records.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    if task not in rows[0] or not task.startswith("lra-"):
        return []
    return [Published(row["model"], row[task] or None, row["source"], row["status"]) for row in rows]

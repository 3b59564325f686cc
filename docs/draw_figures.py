"""Draw the figures of the README and of results.md: python docs/draw_figures.py FOLDER...

Of a finished and diagnosed comparison (runs/demo) those of the README; of a study its claims.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.drawing import Picture
from selfpretrain.explain.pictures import lag_profiles, transplants
from selfpretrain.registry import SECTIONS
from selfpretrain.report import figures, study
from selfpretrain.report.content import Content
from selfpretrain.studies.folder import StudyFolder

FIGURES = Path(__file__).parent / "figures"


def draw(pictures: Sequence[Picture], painted: Sequence[Callable[..., bool]], content: Any) -> None:
    """Write the pictures that these functions paint."""
    for picture in pictures:
        if picture.paint in painted:
            (FIGURES / f"{picture.paint.__name__}.svg").write_text(picture.svg(content) or "")


def main() -> None:
    """Draw every folder that was named."""
    for name in sys.argv[1:]:
        folder = StudyFolder(Path(name))
        if folder.is_study:
            content = study.StudyContent.read(folder)
            claims = next(picture for picture in study.PICTURES if picture.paint is study.effects)
            (FIGURES / f"study-{content.answer.study}.svg").write_text(claims.svg(content) or "")
            continue
        comparison = Content.read(ComparisonFolder(Path(name)))
        assert comparison.diagnosis is not None, "run selfpretrain diagnose first"
        of_why = [picture for section in SECTIONS.values() for picture in section.pictures()]
        draw(figures.PICTURES, (figures.accuracies, figures.learning_curves), comparison)
        draw(of_why, (transplants, lag_profiles), comparison.diagnosis)


if __name__ == "__main__":
    main()

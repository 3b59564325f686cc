"""Which sections a diagnosis has."""

from selfpretrain.errors import SettingError
from selfpretrain.explain.attention.section import ATTENTION
from selfpretrain.explain.data.section import DATA
from selfpretrain.explain.gradients.section import GRADIENTS
from selfpretrain.explain.landscape.section import LANDSCAPE
from selfpretrain.explain.plateau.section import PLATEAU
from selfpretrain.explain.representation.section import REPRESENTATION
from selfpretrain.explain.section import Section
from selfpretrain.explain.transplants.section import TRANSPLANTS

_SECTIONS: dict[str, Section] = {
    section.name: section for section in (TRANSPLANTS, ATTENTION, PLATEAU, GRADIENTS, LANDSCAPE, DATA, REPRESENTATION)
}
"""In the order of the report."""


def register(section: Section) -> Section:
    """Make a section known by its name."""
    _SECTIONS[section.name] = section
    return section


def known_sections() -> dict[str, Section]:
    """Every known section by name, in the order of the report."""
    return dict(_SECTIONS)


def sections_named(names: tuple[str, ...] | None) -> list[Section]:
    """The sections of these names; None: all.

    Raises:
        SettingError: there is no such section; the message lists them.
    """
    unknown = [name for name in names or () if name not in _SECTIONS]
    if unknown or names == ():
        said = f"names an unknown section; the sections are {', '.join(_SECTIONS)}"
        raise SettingError("sections", ",".join(unknown) or "''", said)
    return [section for name, section in _SECTIONS.items() if names is None or name in names]

"""Everything that has a name: arms, tasks, objectives, sections, studies and presets.

The built-in ones come from the modules below; others from installed packages, which name a module under the entry point
``selfpretrain.plugins``. Such a module calls ``register`` for each thing that it adds (see docs/extending.md). Nothing
here, and none of the modules below but the objectives, imports torch.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from selfpretrain.errors import RequestError, SettingError, did_you_mean

if TYPE_CHECKING:
    from selfpretrain.arms.arm import Arm
    from selfpretrain.data.builtin import BuiltinTask
    from selfpretrain.explain.section import Section
    from selfpretrain.presets import Preset
    from selfpretrain.studies.study import Study
    from selfpretrain.train.objectives import Objective

GROUP = "selfpretrain.plugins"
"""Entry-point group of packages that add to the registry."""
ThingT = TypeVar("ThingT")


class Shelf(Mapping[str, ThingT], Generic[ThingT]):
    """Things of one sort by name, in the order in which they were registered.

    Args:
        sort: what one of them is called.
        homes: modules that register the built-in ones when they are imported.
        setting: the setting that names one, for the refusal of an unknown name.
    """

    def __init__(self, sort: str, *homes: str, setting: str = "") -> None:
        self.sort, self.setting, self.homes = sort, setting or sort, homes
        self._things: dict[str, ThingT] = {}

    def add(self, thing: Any) -> None:
        """Make a thing known by its name; a second thing of that name is refused."""
        if self._things.setdefault(thing.name, thing) is not thing:
            raise RequestError(f"another {self.sort} is called '{thing.name}'; rename one")

    def _load(self) -> dict[str, ThingT]:
        for home in self.homes:
            import_module(home)
        load_plugins()
        return self._things

    def __getitem__(self, name: str) -> ThingT:
        """The thing of that name; a SettingError with all names where there is none."""
        things = self._load()
        if name not in things:
            meant = did_you_mean(name, things) or ";"
            raise SettingError(self.setting, name, f"is unknown{meant} the {self.sort}s are {', '.join(things)}")
        return things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())


ARMS: Shelf["Arm"] = Shelf("arm", "selfpretrain.arms.builtin", setting="arms")
TASKS: Shelf["type[BuiltinTask]"] = Shelf("task", "selfpretrain.data.builtin", "selfpretrain.arena", setting="data")
OBJECTIVES: Shelf["type[Objective]"] = Shelf("objective", "selfpretrain.train.objectives")
SECTIONS: Shelf["Section"] = Shelf("section", "selfpretrain.explain.section", setting="sections")
STUDIES: Shelf["Study"] = Shelf("study", "selfpretrain.studies.builtin", "selfpretrain.studies.paper")
PRESETS: Shelf["Preset"] = Shelf("preset", "selfpretrain.presets", "selfpretrain.arena")
SHELVES: dict[str, Shelf[Any]] = {shelf.sort: shelf for shelf in (ARMS, TASKS, OBJECTIVES, SECTIONS, STUDIES, PRESETS)}


def register(thing: ThingT) -> ThingT:
    """Add a thing to the shelf of its sort (its attribute ``sort``); serves as a decorator of classes."""
    SHELVES[thing.sort].add(thing)  # type: ignore[attr-defined]
    return thing


_plugins_loaded = False


def load_plugins() -> None:
    """Import what installed packages add, once in a process and behind the built-in things.

    Raises:
        RequestError: a package's module cannot be imported.
    """
    global _plugins_loaded
    points = () if _plugins_loaded else metadata.entry_points(group=GROUP)
    _plugins_loaded = True  # a plug-in may itself look things up
    for shelf in SHELVES.values() if points else ():
        for home in shelf.homes if shelf is not OBJECTIVES else ():
            import_module(home)
    for point in points:
        try:
            point.load()
        except (Exception, SystemExit) as error:
            _plugins_loaded = False  # whoever asks again is told again
            package = point.dist.name if point.dist else point.value
            raise RequestError(
                f"the plug-in '{point.name}' of {package} fails: {type(error).__name__}: {error}"
            ) from error

"""The registry: things by name, in order; unknown names, twins and plug-ins that fail."""

import sys
from types import SimpleNamespace

import pytest

from selfpretrain import registry
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.registry import Shelf


def thing(name):
    return SimpleNamespace(name=name, sort="fruit")


@pytest.fixture
def shelf(monkeypatch):
    """A shelf with three fruits, and no plug-in."""
    made = Shelf("fruit", setting="fruits")
    monkeypatch.setitem(registry.SHELVES, "fruit", made)
    monkeypatch.setattr(registry, "_plugins_loaded", True)
    for name in ("pear", "apple", "fig"):
        registry.register(thing(name))
    return made


@pytest.fixture
def plugins(monkeypatch, shelf):
    """What installed packages would add, put in place by a call; no other home is imported."""
    monkeypatch.setattr(registry, "_plugins_loaded", False)
    monkeypatch.setattr(registry, "SHELVES", {"fruit": shelf})

    def install(*points):
        monkeypatch.setattr(registry.metadata, "entry_points", lambda group: points if group == registry.GROUP else ())

    return install


def test_a_shelf_lists_its_names_in_the_order_of_their_registration(shelf):
    assert (list(shelf), len(shelf), "fig" in shelf, "figs" in shelf) == (["pear", "apple", "fig"], 3, True, False)
    assert shelf["apple"].name == "apple"


def test_an_unknown_name_is_refused_with_the_close_one_and_all_names(shelf):
    with pytest.raises(
        SettingError, match=r"fruits aple is unknown; did you mean apple\? the fruits are pear, apple, fig"
    ):
        shelf["aple"]
    with pytest.raises(SettingError, match="fruits 12 is unknown; the fruits are pear"):
        shelf["12"]


def test_two_things_of_one_name_are_refused_and_the_first_stays(shelf):
    first = shelf["fig"]
    assert registry.register(first) is first  # a module that is imported again
    with pytest.raises(RequestError, match="another fruit is called 'fig'; rename one"):
        registry.register(thing("fig"))
    assert shelf["fig"] is first


def test_the_homes_are_imported_when_something_is_asked_for(monkeypatch, shelf):
    asked = []
    monkeypatch.setattr(registry, "import_module", asked.append)
    late = Shelf("fruit", "one.home", "another.home")
    assert asked == []
    assert "fig" not in late
    assert asked == ["one.home", "another.home"]


def test_plug_ins_come_behind_the_built_in_things(plugins, shelf):
    plugins(SimpleNamespace(name="mine", dist=None, value="mine", load=lambda: registry.register(thing("quince"))))
    assert list(shelf) == ["pear", "apple", "fig", "quince"]
    assert list(shelf) == ["pear", "apple", "fig", "quince"]  # and are loaded once


def test_a_plug_in_that_fails_is_named_whoever_asks_and_how_often(plugins, shelf, tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("import no_such_module_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    entry = registry.metadata.EntryPoint("mine", "broken_plugin", registry.GROUP)
    plugins(SimpleNamespace(name="mine", value=entry.value, dist=SimpleNamespace(name="my-package"), load=entry.load))
    for _ in range(2):
        with pytest.raises(
            RequestError, match=r"'mine' of my-package fails: ModuleNotFoundError: .*no_such_module_any"
        ):
            shelf["pear"]
    assert "broken_plugin" not in sys.modules

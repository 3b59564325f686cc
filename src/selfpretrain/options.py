"""Options of the command line, made from dataclasses of settings: the docstring under a field is its help text.

A setting's name is its option's: ``mask_ratio`` is ``--mask-ratio``. The settings of the two phases keep the name of
their group, as in ``--label.duration``. Only options that are given come back, so that a preset can be chosen first.
"""

import argparse
import ast
import difflib
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, cast, overload

from selfpretrain.errors import RequestError, SettingError
from selfpretrain.registry import TASKS

RecordT = TypeVar("RecordT")
PHASES = ("pretrain", "label")
"""Groups of settings that keep their name on the command line; all others lose it."""
TITLES = {
    "task": "data",
    "config": "comparison",
    "objective": "self-pretraining",
    "pretrain": "steps of self-pretraining",
    "label": "steps of label training",
    "train": "training",
}


def flag(setting: str) -> str:
    """How a setting is spelt as an option.

    >>> flag("mask_ratio")
    '--mask-ratio'
    """
    return "--" + setting.replace("_", "-")


def explained(error: SettingError, group: str = "") -> str:
    """What is wrong with a setting of a group, in the command line's words."""
    prefix = f"{group}." if group in PHASES else ""
    return f"{flag(prefix + error.setting)} {error.value} {error.problem}"


def parse(cls: type[Any], argv: Sequence[str], verb: str, more: Callable[[], str] = str) -> dict[str, Any]:
    """What is given on the command line, nested as the settings are; options of built-in tasks under ``options``.

    Prints help and exits where it is asked for.

    Args:
        cls: dataclass of the verb's settings; its docstring says what the verb does.
        argv: arguments behind the verb.
        verb: its name.
        more: makes the text below the help.

    Raises:
        RequestError: something is wrong with them, in one line.
    """
    arguments = [
        field.name.upper() if field.default is MISSING else f"[{field.name.upper()}]" for field in _arguments(cls)
    ]
    parser = _Parser(
        prog=f"selfpretrain {verb}",
        usage=" ".join([f"selfpretrain {verb}", *arguments, "[OPTIONS]"]),
        description=inspect.cleandoc(cls.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    everything = "--help-all" in argv
    has_rare = _add(parser, parser.add_argument_group("options"), cls, (), everything)
    has_task = any(field.name == "task" for field in fields(cls))
    for name, kind in task_options().items() if has_task else ():
        parser.add_argument(
            flag(name), dest=f"options.{name}", type=_reader(kind), help=argparse.SUPPRESS, default=argparse.SUPPRESS
        )
    if everything or "--help" in argv or "-h" in argv:
        rare = "\n--help-all also lists options that are rarely needed.\n" if has_rare and not everything else ""
        sys.stdout.write(f"{parser.format_help()}{rare}{more()}")
        raise SystemExit(0)
    namespace, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise RequestError(_unknown(unknown[0], parser))
    given: dict[str, Any] = {}
    for path, value in vars(namespace).items():
        *groups, name = path.split(".")
        inner = given
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = value
    return given


@overload
def filled(ground: type[RecordT], given: Mapping[str, Any], group: str = "") -> RecordT: ...
@overload
def filled(ground: RecordT, given: Mapping[str, Any], group: str = "") -> RecordT: ...
def filled(ground: Any, given: Mapping[str, Any], group: str = "") -> Any:
    """Settings with what was given; everything else as in ``ground``, or by default where that is a class.

    Raises:
        SettingError: a value that cannot be used.
    """
    changes = {}
    for name, value in given.items():
        is_group = isinstance(value, Mapping) and name != "options"
        changes[name] = filled(_inner(ground, name), value, name) if is_group else value
    try:
        return ground(**changes) if isinstance(ground, type) else replace(ground, **changes)
    except SettingError as error:
        if group in PHASES:
            raise RequestError(explained(error, group)) from None
        raise


def _inner(ground: Any, name: str) -> Any:
    if not isinstance(ground, type):
        return getattr(ground, name)
    factory = next(field.default_factory for field in fields(ground) if field.name == name)
    return cast(Any, factory)()


def task_options() -> dict[str, Any]:
    """Options of all built-in tasks, and their types."""
    return {name: kind for task in TASKS.values() for name, kind in _typed_names(task)}


def task_help() -> str:
    """Built-in tasks with their options and defaults."""
    lines = []
    for name, task in TASKS.items():
        options = "  ".join(f"{flag(option)} {getattr(task(), option)}" for option, _ in _typed_names(task))
        lines.append(f"  {name:20s} {options}".rstrip())
    return "\n".join(["built-in tasks, with their own options:", *lines, ""])


def _typed_names(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(cls)
    yield from ((field.name, hints[field.name]) for field in fields(cls))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what = re.sub(r"^argument (\S+): ", r"\1 ", message).replace("expected one argument", "needs a value")
        what = re.sub(r"^the following arguments are required: (.*)$", r"\1 is missing", what)
        raise RequestError(f"{what} (see {self.prog} --help)")


def _add(parser: _Parser, group: Any, cls: type[Any], path: tuple[str, ...], everything: bool) -> bool:
    """Add the options of a class of settings; whether some of them are shown by ``--help-all`` only."""
    has_rare = False
    hints, helps = typing.get_type_hints(cls), _field_docstrings(cast(Hashable, cls))
    for field in fields(cls):
        kind = hints[field.name]
        if field.metadata.get("python"):
            continue
        if is_dataclass(kind):
            inner = parser.add_argument_group(TITLES.get(field.name, field.name))
            has_rare |= _add(parser, inner, cast(type[Any], kind), (*path, field.name), everything)
            continue
        is_rare = bool(field.metadata.get("rare"))
        has_rare |= is_rare
        text = helps[field.name] + _default_text(field)
        shown = text.replace("%", "%%") if everything or not is_rare else argparse.SUPPRESS
        dest = ".".join((*path, field.name))
        settings: dict[str, Any] = {"help": shown, "default": argparse.SUPPRESS}
        if field.metadata.get("argument"):
            nargs = None if field.default is MISSING else "?"
            metavar = field.name.upper()
            parser.add_argument(dest, metavar=metavar, nargs=nargs, type=_reader(kind), **settings)
            continue
        prefix = f"{path[-1]}." if path and path[-1] in PHASES else ""
        name = flag(prefix + field.name)
        if kind is bool:
            group.add_argument(name, dest=dest, action="store_true", **settings)
        else:
            read = str if field.metadata.get("text") else _reader(kind)
            group.add_argument(name, dest=dest, type=read, metavar=_metavar(kind), **settings)
    return has_rare


def _arguments(cls: type[Any]) -> "Iterator[Field[Any]]":
    """The fields that stand without an option."""
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
        if field.metadata.get("argument"):
            yield field
        elif is_dataclass(hints[field.name]):
            yield from _arguments(cast(type[Any], hints[field.name]))


@cache
def _field_docstrings(cls: Hashable) -> dict[str, str]:
    """The docstrings under the fields of a dataclass, by field."""
    body = cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(cast(type[Any], cls)))).body[0]).body
    return {
        statement.target.id: " ".join(inspect.cleandoc(str(below.value.value)).split())
        for statement, below in pairwise(body)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def _default_text(field: "Field[Any]") -> str:
    value = field.default
    if value is MISSING or value is None or value is False or field.metadata.get("argument"):
        return ""
    if isinstance(value, tuple):
        value = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
    return f" (default: {value:g})" if isinstance(value, float) else f" (default: {value})"


def _parts(kind: Any) -> tuple[Any, bool]:
    """A type without None, and whether it had that."""
    options = typing.get_args(kind)
    if NoneType not in options:
        return kind, False
    return next(option for option in options if option is not NoneType), True


def _metavar(kind: Any) -> str:
    bare, _ = _parts(kind)
    origin = typing.get_origin(bare)
    if origin is Literal:
        return "{" + ",".join(typing.get_args(bare)) + "}"
    if origin is tuple:
        return "NAME,.." if typing.get_args(bare)[0] is str else "NUMBER,.."
    return {int: "N", float: "X", Path: "PATH"}.get(bare, "TEXT")


def _reader(kind: Any) -> Callable[[str], Any]:
    """Reads a value of this type; tuples are separated by commas, and None is None where it is allowed.

    >>> _reader(tuple[float, ...])("1e-3,3e-3"), _reader(int | None)("None")
    ((0.001, 0.003), None)
    """
    bare, optional = _parts(kind)
    origin, inner = typing.get_origin(bare), typing.get_args(bare)

    def read(text: str) -> Any:
        if optional and text == "None":
            return None
        if origin is Literal:
            if text not in inner:
                raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(inner)}")
            return text
        try:
            if origin is tuple:
                return tuple(inner[0](part.strip()) for part in text.split(",") if part.strip())
            if bare is bool:
                return {"true": True, "false": False}[text.lower()]
            return bare(text)
        except (ValueError, KeyError):
            what = "numbers" if origin is tuple else "true or false" if bare is bool else "a number"
            raise argparse.ArgumentTypeError(f"cannot be {text!r}; give {what}") from None

    return read


def _unknown(argument: str, parser: _Parser) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument '{argument}'; that is one too many, everything else is an option"
    options = [name for action in parser._actions for name in action.option_strings]
    close = difflib.get_close_matches(argument.partition("=")[0], options, n=1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return f"unknown option {argument}{meant} {parser.prog} --help-all lists the options"

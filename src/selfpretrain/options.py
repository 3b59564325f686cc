"""The command line's options: how they are spelt, what they are read as, and one line for what is wrong with them."""

import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro
from tyro import _errors as parse_errors  # typed, and private: pyproject bounds the version

from selfpretrain.errors import RequestError, SettingError
from selfpretrain.tasks.builtin import builtin_tasks

Parsed = TypeVar("Parsed")
PHASES = ("pretrain", "label")
"""Groups of settings that keep their name on the command line; all others lose it."""


class _Refused(Exception):
    """Carries tyro's event out of the parser."""

    def __init__(self, event: parse_errors.ParseErrorEvent) -> None:
        super().__init__()
        self.event = event


def flag(setting: str) -> str:
    """How a setting is spelt as an option.

    >>> flag("mask_ratio")
    '--mask-ratio'
    """
    return "--" + setting.replace("_", "-")


def explained(error: SettingError, group: str = "") -> str:
    """What is wrong with a setting, in the command line's words.

    Args:
        group: the settings it belongs to.
    """
    prefix = f"{group}." if group in PHASES else ""
    return f"{flag(prefix + error.setting)} {error.value} {error.problem}"


def value_of(option: str, argv: Sequence[str]) -> str | None:
    """What an option is set to, before everything else is parsed."""
    for number, argument in enumerate(argv):
        if argument == option:
            return argv[number + 1] if number + 1 < len(argv) else None
        if argument.startswith(option + "="):
            return argument.removeprefix(option + "=")
    return None


def parse(
    cls: type[Parsed], argv: Sequence[str], verb: str, *, default: Parsed | None = None, more: str = ""
) -> Parsed:
    """Arguments of a verb.

    Args:
        more: stands under the help.

    Raises:
        RequestError: something is wrong with them, said in one line.
    """
    see = f"(see selfpretrain {verb} --help)"
    settings: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with parse_errors.on_parse_error(_refuse):
            parsed, unknown = tyro.cli(
                cls,
                prog=f"selfpretrain {verb}",
                args=list(argv),
                return_unknown_args=True,
                registry=_lists(),
                **settings,
            )
    except _Refused as refused:
        raise RequestError(f"{_said(refused)} {see}") from None
    except SystemExit:
        sys.stdout.write(more)
        raise
    if unknown:
        raise RequestError(_unknown(unknown[0], [*options_of(cls), *_task_options()]))
    result: Parsed = parsed
    return result


def _refuse(event: parse_errors.ParseErrorEvent) -> None:
    raise _Refused(event)


def _said(refused: _Refused) -> str:
    """What tyro found wrong."""
    event, argument = refused.event, getattr(refused.event, "argument", None)
    cause, group = refused.__context__, ""
    while cause is not None:
        if isinstance(cause, SettingError):
            return explained(cause, group)
        where = getattr(cause, "arg", "")  # of tyro's InstantiationError: where in the settings it happened
        group = where.rpartition(".")[2] if isinstance(where, str) else ""
        cause = cause.__context__
    name = "" if argument is None else argument.lowered.name_or_flags[-1]
    match event:
        case parse_errors.InvalidChoice(value=value, choices=choices):
            return f"{name} {value!r} is none of {', '.join(choices)}"
        case parse_errors.BadValue(reason="too_few_values"):
            return f"{name} needs a value"
        case parse_errors.BadValue(reason=reason):
            given = re.search(r"'[^']*'$", reason)  # "invalid literal for int() with base 10: 'x'"
            return f"{name} cannot be {given[0]}" if given else f"{name}: {reason}"
        case parse_errors.MissingArgs(missing_arguments=missing):
            return f"{', '.join(each.arg.display_name().upper() for each in missing)} is missing"
        case parse_errors.InstantiationFailure(message=message):
            found = re.search(r"\['(.*?)'\]|'([^']*)'$", message)  # as above, or the list of what was given
            return f"{name} cannot be {found[1] or found[2]!r}" if found else f"{name}: {message}"
    return "the options cannot be read"


def take_task_options(argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Arguments without the options of built-in tasks, and those options by name.

    Raises:
        RequestError: an option without a number.

    >>> take_task_options(["noise", "--symbols", "4", "--seeds=3"])
    (['noise', '--seeds=3'], {'symbols': 4})
    """
    known, rest = _task_options(), list[str]()
    found: dict[str, Any] = {}
    arguments = iter(argv)
    for argument in arguments:
        name, given, text = argument.partition("=")
        if name not in known:
            rest.append(argument)
            continue
        text = text if given else next(arguments, "")
        try:
            found[name[2:].replace("-", "_")] = known[name](text)
        except ValueError:
            raise RequestError(f"{name} cannot be '{text}'; give a number") from None
    return rest, found


def _task_options() -> dict[str, Any]:
    """Options of all built-in tasks, and what they are read as."""
    types = {name: kind for task in builtin_tasks().values() for name, kind in _fields(task)}
    return {flag(name): kind for name, kind in types.items()}


def _fields(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(cls)
    yield from ((field.name, hints[field.name]) for field in dataclasses.fields(cls))


def task_help() -> str:
    """Built-in tasks with their options and defaults."""
    lines = []
    for name, task in builtin_tasks().items():
        options = "  ".join(f"{flag(each)} {getattr(task(), each)}" for each, _ in _fields(task))
        lines.append(f"  {name:14s} {options}")
    return "\n".join(["built-in tasks, with their own options:", *lines, ""])


def options_of(cls: type[Any], prefix: str = "") -> Iterator[str]:
    """Every option of a class of arguments."""
    for name, kind in _fields(cls):
        if dataclasses.is_dataclass(kind):
            yield from options_of(typing.cast(type[Any], kind), f"{name}." if name in PHASES else "")
        elif name not in ("data", "folder", "options", "looks"):
            yield flag(prefix + name)


def _unknown(argument: str, options: Sequence[str]) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument '{argument}'; that is one too many, everything else is an option"
    close = difflib.get_close_matches(argument.partition("=")[0], options, n=1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return f"unknown option {argument}{meant} the options are {', '.join(options)}"


def _lists() -> tyro.constructors.ConstructorRegistry:
    """Tuples are written with commas: --arms a,b --lr 1e-3,3e-3."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def comma_separated(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[tuple[Any, ...]] | None:
        if info.type_origin is not tuple:
            return None
        element = next((kind for kind in (float, int) if kind in getattr(info.type, "__args__", ())), str.strip)
        numbers = element in (float, int)
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="NUMBER,.." if numbers else "NAME,..",
            instance_from_str=lambda given: tuple(element(part) for part in given[0].split(",") if part.strip()),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [",".join(f"{v:g}" if numbers else v for v in value)],
        )

    return registry

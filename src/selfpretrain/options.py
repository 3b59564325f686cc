"""Options of the command line, made from dataclasses of settings: the docstring under a field is its help text.

A setting's name is its option's: ``mask_ratio`` is ``--mask-ratio``. The settings of the two phases keep the name of
their group, as in ``--label.duration``. Only options that are given come back, so that a preset can be chosen first.
"""

import argparse
import ast
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from itertools import pairwise, zip_longest
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar

from selfpretrain.errors import RequestError, SettingError, did_you_mean
from selfpretrain.registry import PRESETS, TASKS

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
    return "--" + setting.rstrip("_").replace("_", "-")


def explained(error: RequestError) -> str:
    """What is wrong, in the command line's words."""
    return f"{flag(error.setting)} {error.value} {error.problem}" if isinstance(error, SettingError) else str(error)


def read(cls: type[RecordT], argv: Sequence[str], verb: str, more: Callable[[], str] = str) -> RecordT:
    """Settings from the command line, see ``parse``."""
    record: RecordT = filled(cls, parse(cls, argv, verb, more))
    return record


def parse(cls: type[Any], argv: Sequence[str], verb: str, more: Callable[[], str] = str) -> dict[str, Any]:
    """What is given on the command line, nested as the settings are.

    Prints help and exits where it is asked for.

    Args:
        cls: dataclass of the verb's settings; its docstring says what the verb does.
        argv: arguments behind the verb.
        verb: its name.
        more: makes the text below the help.

    Raises:
        RequestError: something is wrong with them, in one line.
    """
    settings = list(_settings(cls))
    places = [field for _, field, *_ in settings if field.metadata.get("argument")]
    names = [field.name.upper() if field.default is MISSING else f"[{field.name.upper()}]" for field in places]
    parser = _Parser(
        prog=f"selfpretrain {verb}",
        usage=" ".join([f"selfpretrain {verb}", *names, "[OPTIONS]"]),
        description=inspect.cleandoc(cls.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    groups = {"options": parser.add_argument_group("options")}
    for path, field, kind, text in settings:
        how: dict[str, Any] = {"help": text.replace("%", "%%")}
        if field.metadata.get("rare") and "--help-all" not in argv:
            how["help"] = argparse.SUPPRESS
        dest = ".".join((*path, field.name))
        bare = field.metadata.get("bare")
        if kind is bool and field.default is False:
            how["action"] = "store_true"
        elif bare:
            how |= {"nargs": "?", "const": bare}
            how["type"], how["metavar"] = _form(typing.get_args(kind)[-1])
            argv = _with_bare(argv, flag(field.name), bare, typing.get_args(typing.get_args(kind)[-1]))
        else:
            how["type"], how["metavar"] = _form(kind)
        if field.metadata.get("text"):
            how["type"] = str
        if field in places:
            nargs = None if field.default is MISSING else "?"
            parser.add_argument(dest, **{**how, "metavar": field.name.upper(), "nargs": nargs})
            continue
        title = TITLES.get(path[-1], path[-1]) if path else "options"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        prefix = f"{path[-1]}." if path and path[-1] in PHASES else ""
        groups[title].add_argument(flag(prefix + field.name), dest=dest, **how)
    if {"-h", "--help", "--help-all"} & set(argv):
        has_rare = any(field.metadata.get("rare") for _, field, *_ in settings)
        rare = "\n--help-all also lists options that are rarely needed.\n" if has_rare else ""
        sys.stdout.write(f"{parser.format_help()}{'' if '--help-all' in argv else rare}{more()}")
        raise SystemExit(0)
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        raise RequestError(_unknown(unknown[0], parser))
    for path, field, *_ in settings:
        if not path and field.default is field.default_factory is MISSING and field.name not in namespace:
            raise RequestError(f"{flag(field.name)} is missing (see selfpretrain {verb} --help)")
    given: dict[str, Any] = {}
    for dest, value in vars(namespace).items():
        *parts, name = dest.split(".")
        inner = given
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return given


def _with_bare(argv: Sequence[str], option: str, bare: str, choices: Sequence[str]) -> list[str]:
    """The arguments, this option with its value where none follows it, so that it does not take what does."""
    return [
        f"{option}={bare}" if argument == option and after not in choices else argument
        for argument, after in zip_longest(argv, argv[1:])
    ]


def filled(ground: Any, given: Mapping[str, Any], group: str = "") -> Any:
    """Settings with what was given; everything else as in ``ground``, or by default where that is a class.

    Raises:
        SettingError: a value that cannot be used.
    """
    groups = {name: value for name, value in given.items() if isinstance(value, Mapping) and name != "options"}
    own = {name: value for name, value in given.items() if name not in groups}
    try:
        record = ground(**own) if isinstance(ground, type) else replace(ground, **own)
        return replace(record, **{name: filled(getattr(record, name), groups[name], name) for name in groups})
    except SettingError as error:
        if group not in PHASES:
            raise
        raise SettingError(f"{group}.{error.setting}", error.value, error.problem) from None


def task_help() -> str:
    """Built-in tasks with their options and defaults."""
    lines = []
    for name, task in TASKS.items():
        options = "  ".join(f"{flag(field.name)} {getattr(task(), field.name)}" for field in fields(task))
        lines.append(f"  {name:20s} {options}".rstrip())
    return "\n".join(["built-in tasks, with their own options:", *lines, ""])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what = re.sub(r"^argument (\S+): ", r"\1 ", message).replace("expected one argument", "needs a value")
        what = re.sub(r"^the following arguments are required: (.*)$", r"\1 is missing", what)
        raise RequestError(f"{what} (see {self.prog} --help)")


def _settings(cls: type[Any], path: tuple[str, ...] = ()) -> "Iterator[tuple[tuple[str, ...], Field[Any], Any, str]]":
    """The settings of a class and of its groups: path to the group, field, type, help. Those of a base come last."""
    hints, helps = typing.get_type_hints(cls), _field_docstrings(cls)
    own = inspect.get_annotations(cls)
    for field in sorted(fields(cls), key=lambda field: field.name not in own):
        kind, inner = hints[field.name], (*path, field.name)
        if is_dataclass(kind):
            yield from _settings(typing.cast(type[Any], kind), inner)
        elif field.metadata.get("of_tasks"):
            options = {option.name: (task, option) for task in TASKS.values() for option in fields(task)}
            for task, option in options.values():
                yield inner, option, typing.get_type_hints(task)[option.name], argparse.SUPPRESS
        elif not field.metadata.get("python"):
            yield path, field, kind, helps[field.name] + _default_text(field, path)


def _field_docstrings(cls: type[Any]) -> dict[str, str]:
    """The docstrings under the fields of a dataclass and of its bases, by field."""
    texts: dict[str, str] = {}
    for base in cls.__mro__[:-1]:
        body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]).body
        texts |= {
            statement.target.id: " ".join(inspect.cleandoc(str(below.value.value)).split())
            for statement, below in pairwise(body)
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        }
    return texts


def _default_text(field: "Field[Any]", path: tuple[str, ...]) -> str:
    value = field.default
    if path[:1] == ("config",) != path:
        setting = ".".join((*path[1:], field.name))
        if any(_value(preset.config, setting, value) != value for preset in PRESETS.values()):
            return " (default: the preset's)"
    if value is MISSING or value is None or value is False or field.metadata.get("argument"):
        return ""
    values = value if isinstance(value, tuple) else (value,)
    shown = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in values)
    return f" (default: {shown})"


def _value(config: Any, setting: str, default: Any) -> Any:
    """That of a setting by its dotted name; the default where a config has none."""
    for name in setting.split("."):
        config = getattr(config, name, MISSING)
    return default if config is MISSING else config


def _form(kind: Any) -> tuple[Callable[[str], Any], str]:
    """How a value of this type is read, and what stands for it in the help.

    Values of a tuple are separated by commas, and None is None where it is allowed.

    >>> read_value, metavar = _form(tuple[float, ...])
    >>> read_value("1e-3,3e-3"), metavar
    ((0.001, 0.003), 'NUMBER,..')
    """
    types = [option for option in typing.get_args(kind) if option is not NoneType]
    is_optional = NoneType in typing.get_args(kind)
    bare = types[0] if is_optional else kind
    inner = typing.get_args(bare)
    choices = {"true": True, "false": False} if bare is bool else {}
    if typing.get_origin(bare) is Literal:
        choices = {name: name for name in inner}
    is_tuple = typing.get_origin(bare) is tuple

    def read_value(text: str) -> Any:
        if is_optional and text == "None":
            return None
        try:
            if choices:
                return choices[text]
            return tuple(inner[0](part.strip()) for part in text.split(",") if part.strip()) if is_tuple else bare(text)
        except (ValueError, KeyError):
            what = f"one of {', '.join(choices)}" if choices else "numbers" if is_tuple else "a number"
            raise argparse.ArgumentTypeError(f"cannot be {text!r}; give {what}") from None

    if choices:
        return read_value, "{" + ",".join(choices) + "}"
    if is_tuple:
        return read_value, "NAME,.." if inner[0] is str else "NUMBER,.."
    return read_value, {int: "N", float: "X", Path: "PATH"}.get(bare, "TEXT")


def _unknown(argument: str, parser: _Parser) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument '{argument}'; that is one too many, everything else is an option"
    options = [name for action in parser._actions for name in action.option_strings]
    meant = did_you_mean(argument.partition("=")[0], options) or ";"
    return f"unknown option {argument}{meant} {parser.prog} --help-all lists the options"

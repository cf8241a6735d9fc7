"""What is known of each setting beside its value: group, description, default and range, read from one struct.

A setting is described once, by `about` in the annotation of its field. The options of `secagg train`, the page
`docs/reference/settings.md`, the file `examples/digits.toml` and the texts of errors are all made from that.
"""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta


class Group(StrEnum):
    """The groups that settings are shown in, in this order."""

    DATA = "Data and model"
    CLIENTS = "Clients"
    PRIVACY = "Privacy"
    CLIPPING = "Clipping"
    PROTOCOL = "Protocol"
    TRAINING = "Training"
    OUTPUT = "Output"


_KEY: Final = "about"


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    group: Group
    privacy: str
    unset: str | None
    example: str | float | None
    choices: tuple[str, ...] | None
    form: str | None


def about(
    group: Group,
    description: str,
    *,
    privacy: str = "None.",
    unset: str | None = None,
    example: str | float | None = None,
    choices: Sequence[str] | None = None,
    form: str | None = None,
) -> Meta:
    """Return the annotation that describes a setting.

    Args:
        group: The group that it is shown in.
        description: What it is, in full sentences.
        privacy: How it affects privacy, for the page of all settings.
        unset: What is used if the setting has no value, for a setting whose default is None.
        example: A value for the file of examples, for a setting whose default is None.
        choices: The values that are allowed, if they are fewer than those of the field's type.
        form: What the text must look like, if it has a pattern.
    """
    found = _About(
        group=group,
        privacy=privacy,
        unset=unset,
        example=example,
        choices=None if choices is None else tuple(choices),
        form=form,
    )
    return Meta(description=description, extra={_KEY: found})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, as people are shown it.

    Attributes:
        name: The name of the field, and the key in a file.
        group: The group that it is shown in.
        description: What it is.
        privacy: How it affects privacy.
        kind: The type that the command line reads it as; choices are texts there.
        enumeration: The type of its choices, if they have one.
        choices: The values that are allowed, if they can be listed.
        word: The only text that is allowed in the place of a number; None if there is none.
        values: Its type and range in words, as in "an integer from 2 to 100,000".
        default: The value that it has if it is not given.
        unset: What is used if it has no value; None if it always has one.
        example: A value for the file of examples; the default if there is one.
    """

    name: str
    group: Group
    description: str
    privacy: str
    kind: type[str | int | float | bool]
    enumeration: type[StrEnum] | None
    choices: tuple[str, ...]
    word: str | None
    values: str
    default: Any
    unset: str | None
    example: Any

    @property
    def option(self) -> str:
        """The option of `secagg train` that sets it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def default_in_words(self) -> str:
        """The default as people write it: what is used instead of a value if there is none."""
        match self.default:
            case None:
                return self.unset or "not set"
            case bool():
                return str(self.default).lower()
            case float():
                return f"{self.default:g}"
            case _:
                return str(self.default)


@cache
def describe(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Return all settings of a struct whose fields are described by `about`, by group and else in their order."""
    found = [_setting(field.name, field.type, field.default) for field in msgspec.structs.fields(struct)]
    return tuple(setting for group in Group for setting in found if setting.group is group)


def _setting(name: str, hint: Any, default: Any) -> Setting:
    metas, bare, word = _decompose(hint)
    (meta,) = (each for each in metas if each.extra is not None)
    known: _About = (meta.extra or {})[_KEY]
    enumeration = bare if isinstance(bare, type) and issubclass(bare, StrEnum) else None
    choices = known.choices or (tuple(map(str, enumeration)) if enumeration is not None else ())
    if get_origin(bare) is Literal:
        choices = get_args(bare)
    return Setting(
        name=name,
        group=known.group,
        description=meta.description or "",
        privacy=known.privacy,
        kind=str if choices else bare,
        enumeration=enumeration,
        choices=choices,
        word=word,
        values=f"one of {', '.join(choices)}" if choices else known.form or _in_words(bare, metas, word),
        default=default,
        unset=known.unset,
        example=known.example if default is None else default,
    )


def _decompose(hint: Any) -> tuple[list[Meta], Any, str | None]:
    """Return everything that annotates a type or its alternative to None or a word, the type itself, and the word."""
    if get_origin(hint) is Annotated:
        inner, *added = get_args(hint)
        metas, bare, word = _decompose(inner)
        return [*metas, *(each for each in added if isinstance(each, Meta))], bare, word
    if get_origin(hint) in (Union, types.UnionType):
        words = [word for each in get_args(hint) if get_origin(each) is Literal for word in get_args(each)]
        (inner,) = (each for each in get_args(hint) if each is not types.NoneType and get_origin(each) is not Literal)
        metas, bare, _ = _decompose(inner)
        return metas, bare, words[0] if words else None
    return [], hint, None


def _in_words(kind: type, metas: list[Meta], word: str | None) -> str:
    def bound(name: str) -> float | None:
        return next((found for meta in metas if (found := getattr(meta, name)) is not None), None)

    if kind is bool:
        return "true or false"
    if kind is str:
        longest = bound("max_length")
        return "text" if longest is None else f"text of at most {longest} characters"
    above, least, below, most = (bound(name) for name in ("gt", "ge", "lt", "le"))
    noun = "an integer" if kind is int else "a number"
    if least is not None and most is not None:
        return f"{noun} from {least:,} to {most:,}" + ("" if word is None else f", or {word}")
    limits = (("above", above), ("of at least", least), ("below", below), ("at most", most))
    return " ".join([noun, " and ".join(f"{word} {limit:,}" for word, limit in limits if limit is not None)]).rstrip()

"""Means of the toolkit with one thing changed after planning, for planted bugs."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

from secagg.aggregation.mean import SecureMean
from secagg.audit.means.subject import MeanSubject, Setting
from secagg.audit.means.suite import mean_subject

T = TypeVar("T")


def values_of(of: Any) -> dict[str, Any]:
    """Return the fields of a dataclass's object by name."""
    return {each.name: getattr(of, each.name) for each in fields(of)}


def as_kind(kind: type[T], of: Any, **changes: Any) -> T:
    """Return an object of a subclass with the same fields."""
    return kind(**values_of(of) | changes)


def altered(name: str, change: Callable[[SecureMean], SecureMean], **options: Any) -> MeanSubject:
    """Return a mean of the toolkit that is changed after it was planned."""
    right = mean_subject(name, **options)

    def planner(wish: Any) -> Setting:
        setting = right.setting(wish)
        return replace(setting, mean=change(setting.mean))

    return MeanSubject(planner, name=name, claims=right.claims)

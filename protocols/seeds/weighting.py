"""Sums in which each vector has a public weight: vectors of one weight are added up first, and multiplied once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from protocols.crypto.keystream import Words, apply_masks
from protocols.crypto.secret import Secret

T = TypeVar("T")


def rare_weights(weights: Sequence[int], least: int) -> str:
    """Return in words which weights occur, but fewer than `least` times; empty if there is none.

    A sum with such a weight tells more of its few clients than of a sum of `least`: modulo the greatest common divisor
    of the other weights, it is theirs alone.
    """
    rare = sorted((weight, count) for weight, count in Counter(weights).items() if count < least)
    return ", ".join(f"weight {weight} {count} times" for weight, count in rare)


def weighted_sum(
    total: Words, items: Sequence[T], weights: Sequence[int], add: Callable[[Words, Sequence[T]], None]
) -> None:
    """Add vectors to a sum, in place, each times its weight.

    Args:
        total: Shape `(length,)`, of an unsigned type. The sum is modulo the size of its words.
        items: What the vectors are made from.
        weights: The weight of each of them, at least 1.
        add: Adds the vectors of some items to a sum, in place.
    """
    groups = dict[int, list[T]]()
    for item, weight in zip(items, weights, strict=True):
        groups.setdefault(weight, []).append(item)
    for weight, group in groups.items():
        if weight == 1:
            add(total, group)
            continue
        part = np.zeros_like(total)
        add(part, group)
        part *= part.dtype.type(weight % (1 << 8 * part.itemsize))
        total += part


def add_weighted_masks(total: Words, keys: Sequence[Secret], weights: Sequence[int]) -> None:
    """Add the expansions of keys to a sum, in place and modulo the size of its words, each times its weight."""
    weighted_sum(total, keys, weights, lambda part, group: apply_masks(part, [(np.add, key) for key in group]))

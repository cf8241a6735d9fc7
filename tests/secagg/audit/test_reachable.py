from dataclasses import dataclass, field

import numpy as np

from protocols import Secret
from secagg.audit.reachable import reachable


@dataclass
class _Holder:
    inner: object
    others: dict[str, object] = field(default_factory=dict)


class _Slotted:
    __slots__ = ("part",)

    def __init__(self, part: object) -> None:
        self.part = part


def test_parts_are_found_through_attributes_slots_and_containers() -> None:
    deep = Secret(bytes(32))
    holder = _Holder(inner=_Slotted([(deep,)]), others={"array": np.zeros(3)})
    holder.others["itself"] = holder
    found = list(reachable(holder))
    assert [each for each in found if isinstance(each, Secret)] == [deep]
    assert sum(each is holder for each in found) == 1
    assert not any(isinstance(each, dict | list | tuple | np.ndarray) for each in found)

"""The form in which a Keras model takes its inputs and gives its outputs: one array, or a list or dict of arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from secagg.data.columns import Columns
from secagg.errors import DataError, ModelError


class Form(Enum):
    """The form in which a model puts its arrays together."""

    ONE = "one array"
    LIST = "a list of arrays"
    DICT = "a dict of arrays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The form and the names of a model's inputs, or of its outputs.

    Attributes:
        form: The form in which the model itself puts them together.
        names: The name of each one; the keys if the form is a dict.
    """

    form: Form
    names: tuple[str, ...]

    @classmethod
    def of(cls, structure: Any, name: Callable[[Any], str]) -> "Layout":
        """Return the layout of a tensor, or of a list, tuple or dict of tensors.

        Args:
            structure: The tensors, or objects in their place.
            name: Returns the name of one of them. It is not called for a dict, whose keys are the names.

        Raises:
            ModelError: The structure is empty or nested.
        """
        form = _form_of(structure)
        if form is Form.ONE:
            return cls(form=form, names=(name(structure),))
        members = list(structure.values() if form is Form.DICT else structure)
        if not members or any(_form_of(each) is not Form.ONE for each in members):
            raise ModelError(
                "expected a model whose inputs and outputs are single tensors or one list or dict of tensors, found "
                "an empty or nested structure. Make it flat."
            )
        return cls(form=form, names=tuple(structure) if form is Form.DICT else tuple(map(name, members)))

    def arranged(self, what: str, given: Any) -> list[Any]:
        """Return one member for each name, in the order of the names.

        A list or tuple has the order of the names. A dict has the names as keys. If a single array is expected, it may
        be given without a list or dict.

        Args:
            what: The name of the members in errors.
            given: One member, or a list, tuple or dict of them.

        Raises:
            DataError: The members do not match the names, or a list was given although the model itself takes a dict.
        """
        wanted = f"{len(self.names)} arrays ({', '.join(self.names)})"
        if len(self.names) == 1:
            wanted = "one array"
        if isinstance(given, Mapping):
            if set(given) != set(self.names) or len(given) != len(self.names):
                found = ", ".join(map(str, given)) or "nothing"
                raise DataError(
                    f"expected {what} as a dict of {', '.join(self.names)}, found {found}. Use the model's own names."
                )
            return [given[name] for name in self.names]
        if isinstance(given, list | tuple):
            if len(given) != len(self.names):
                advice = " numpy.stack makes one array of a list of rows." if len(self.names) == 1 else ""
                raise DataError(f"expected {what} as {wanted}, found a {type(given).__name__} of {len(given)}.{advice}")
            if self.form is Form.DICT and len(given) > 1:
                raise DataError(
                    f"expected {what} as a dict of {wanted}, as the model has it, found a {type(given).__name__}. "
                    "A dict says which is which."
                )
            return list(given)
        if len(self.names) != 1:
            found = f"one array of shape {given.shape}" if hasattr(given, "shape") else type(given).__name__
            raise DataError(f"expected {what} as {wanted}, found {found}. Pass a list or a dict with all of them.")
        return [given]

    def packed(self, members: Sequence[Any]) -> Any:
        """Return members, given in the order of the names, in the model's own form."""
        match self.form:
            case Form.ONE:
                return members[0]
            case Form.LIST:
                return list(members)
            case Form.DICT:
                return dict(zip(self.names, members, strict=True))
            case _ as unreachable:
                assert_never(unreachable)

    def unpacked(self, structure: Any) -> list[Any]:
        """Return the members of a structure that the model has made, in the order of the names.

        Raises:
            ModelError: The structure has another form or other members.
        """
        count = len(structure) if isinstance(structure, list | tuple | Mapping) else 1
        names = tuple(structure) if isinstance(structure, Mapping) else self.names
        if _form_of(structure) is not self.form or count != len(self.names) or set(names) != set(self.names):
            raise ModelError(
                f"expected {self.form.value} from the model ({', '.join(self.names)}), found "
                f"{_form_of(structure).value}, {count} in all. Give losses in the form of the model's outputs."
            )
        if self.form is Form.DICT:
            return [structure[name] for name in self.names]
        return [structure] if self.form is Form.ONE else list(structure)

    def checked(self, what: str, given: Any, check: Callable[[int, Any], Any]) -> Columns:
        """Arrange what was given, check each member, and return the results in the model's own form.

        Args:
            what: The name of the members in errors.
            given: One member, or a list, tuple or dict of them, as for `arranged`.
            check: Called with a position and the member there. Returns the member to use in its place.

        Raises:
            DataError: `arranged` or `check` raises it. It names the member if there are several.
        """
        found = []
        for position, member in enumerate(self.arranged(what, given)):
            try:
                found.append(check(position, member))
            except DataError as error:
                if len(self.names) == 1:
                    raise
                raise DataError(f"{self.names[position]}: {error}") from None
        packed: Columns = self.packed(found)
        return packed


def input_layout(model: Any) -> tuple[Layout, list[Any]] | None:
    """Return the layout and the symbolic tensor of each input, or None if the model, such as a subclass, does not say.

    Raises:
        ModelError: The inputs are nested.
    """
    tensors = list(getattr(model, "inputs", None) or ())
    if not tensors:
        return None
    structure = _structure(model, "input", tensors)
    layout = Layout.of(structure, lambda tensor: str(tensor.name))
    return layout, layout.unpacked(structure)


def output_layout(model: Any) -> tuple[Layout, list[Any]] | None:
    """Return the layout and the symbolic tensor of each output, or None if the model, such as a subclass, does not say.

    Raises:
        ModelError: The outputs are nested.
    """
    tensors = list(getattr(model, "outputs", None) or ())
    if not tensors:
        return None
    structure = _structure(model, "output", tensors)
    names = getattr(model, "output_names", None) or [f"output {position}" for position in range(len(tensors))]
    by_tensor = {id(tensor): str(name) for tensor, name in zip(tensors, names, strict=True)}
    layout = Layout.of(structure, lambda tensor: by_tensor.get(id(tensor), str(tensor.name)))
    return layout, layout.unpacked(structure)


def _form_of(structure: Any) -> Form:
    if isinstance(structure, Mapping):
        return Form.DICT
    return Form.LIST if isinstance(structure, list | tuple) else Form.ONE


def _structure(model: Any, side: str, tensors: list[Any]) -> Any:
    try:
        return getattr(model, side)
    except AttributeError:  # A Sequential of Keras 3 has none until it is called. It has one input and one output.
        return tensors[0] if len(tensors) == 1 else tensors

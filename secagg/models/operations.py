"""The TensorFlow operations that a model may contain if its training protects single examples.

An example's clipped gradient must not depend on the other examples: neither through random numbers drawn for it, nor
through what a layer has kept of earlier examples. TensorFlow marks operations of either kind as stateful
(`OpDef.is_stateful`), and a few others too. So every stateful operation is refused, except those listed here. Some
operations that are not marked as stateful are also refused.
"""

import importlib
from collections.abc import Set
from typing import Any, Final

from secagg.errors import ModelError

_HARMLESS: Final = frozenset(
    (
        # Reading a variable.
        *("VarHandleOp", "VarIsInitializedOp", "ReadVariableOp", "VariableShape", "ResourceGather", "ResourceGatherNd"),
        # Calls of functions and control flow. The operations inside are looked at too.
        *("PartitionedCall", "StatefulPartitionedCall", "If", "Case", "While", "DeviceIndex"),
        # Checks and output, which change no number.
        *("Assert", "CheckNumerics", "CheckNumericsV2", "Print", "PrintV2"),
        # Reading a table. Filling a table with constants gives the same table each time.
        *("HashTableV2", "AnonymousHashTable", "InitializeTableV2", "InitializeTableFromTextFileV2"),
        *("LookupTableFindV2", "LookupTableSizeV2"),
        # Recurrent layers of NVIDIA's library, which Keras uses beside its own. With dropout `_kind` renames them.
        *("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"),
        *("CudnnRNNBackprop", "CudnnRNNBackpropV2", "CudnnRNNBackpropV3"),
    )
)
"""Stateful operations that do not make one example's result depend on another example."""

_UNMARKED: Final = frozenset(("XlaCustomCall", "XlaCustomCallV2"))
"""Operations whose code TensorFlow does not know, and which it does not mark as stateful."""

_DRAWING: Final = (
    *("Random", "Rng", "Multinomial", "TruncatedNormal", "StandardNormal", "StatefulUniform", "NonDeterministicInts"),
    *("CandidateSampler", "SampleDistortedBoundingBox", "Skipgram", "NegTrain", " with dropout"),
    # These draw random numbers for pooling, with a seed of their own. Their gradients draw none.
    *("FractionalMaxPool", "FractionalAvgPool"),
)
_KEEPING: Final = (
    *("Assign", "ResourceScatter", "ResourceApply", "ResourceSparseApply", "ResourceCountUpTo"),
    *("LookupTableInsert", "LookupTableRemove", "LookupTableImport"),
)


def operations_in(graph: Any) -> set[str]:
    """Return the kinds of TensorFlow operations in a graph and in the functions that it may call."""
    traced = graph.as_graph_def()
    functions = traced.library.function
    nodes = [*traced.node, *(node for function in functions for node in function.node_def)]
    # A function is also called by a node whose operation has the function's name.
    return {_kind(node) for node in nodes} - {function.signature.name for function in functions}


def check_examples_apart(operations: Set[str]) -> None:
    """Raise `ModelError` if the result for one example may depend on the other examples.

    Random layers, for example dropout, draw numbers in an order that depends on which examples are present. A stateful
    recurrent layer begins an example with the state that another example has left. Python code may do either.

    Raises:
        ModelError: The model contains such an operation.
    """
    drawing = sorted(name for name in operations if any(part in name for part in _DRAWING))
    if drawing:
        raise ModelError(
            f"expected a model without random layers, such as dropout, found one that draws by {drawing[0]}: the "
            "numbers drawn for one example would depend on which other examples are present. Remove the random layer; "
            "the noise regularises the model already."
        )
    foreign = sorted(name for name in operations if "PyFunc" in name)
    if foreign:
        raise ModelError(
            f"expected a model of TensorFlow operations, found one that calls Python by {foreign[0]}: what that "
            "code does for one example may depend on the others. Write the layer in TensorFlow."
        )
    check_nothing_kept(operations)
    registry = importlib.import_module("tensorflow.python.framework.op_def_registry")
    definitions = {name: registry.get(name) for name in operations - _HARMLESS}
    others = sorted(
        name for name, found in definitions.items() if name in _UNMARKED or found is None or found.is_stateful
    )
    if others:
        raise ModelError(
            f"expected a model that computes from its inputs and variables alone, found the operation {others[0]}: "
            "its result for one example may depend on the others. Write that layer in operations without a state."
        )


def check_nothing_kept(operations: Set[str]) -> None:
    """Raise `ModelError` if the model writes a value that a later example may read.

    Raises:
        ModelError: The model contains such an operation.
    """
    keeping = sorted(name for name in operations if any(part in name for part in _KEEPING))
    if keeping:
        raise ModelError(
            f"expected a model that keeps nothing from one example to the next, found one that does by {keeping[0]}, "
            "such as a stateful recurrent layer: an example would depend on earlier examples. Use stateful=False."
        )


def _kind(node: Any) -> str:
    draws = node.op.startswith("CudnnRNN") and node.attr["dropout"].f > 0
    return f"{node.op} with dropout" if draws else str(node.op)

"""Which TensorFlow operations a model may have whose examples are protected one by one.

An example's clipped gradient must not depend on the other examples: not by what is drawn for it, not by what a layer
has kept of those before it. TensorFlow marks operations of either kind as stateful (`OpDef.is_stateful`), and a few
more besides. So every stateful operation is refused, but those listed here; and so are some that are not marked.
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
        # Reading a table; filling one of constants gives the same each time.
        *("HashTableV2", "AnonymousHashTable", "InitializeTableV2", "InitializeTableFromTextFileV2"),
        *("LookupTableFindV2", "LookupTableSizeV2"),
        # Recurrent layers of NVIDIA's library, which Keras puts beside its own ones; with dropout they are others here.
        *("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"),
        *("CudnnRNNBackprop", "CudnnRNNBackpropV2", "CudnnRNNBackpropV3"),
    )
)
"""Stateful operations after which one example still meets what every other one meets."""

_UNMARKED: Final = frozenset(("XlaCustomCall", "XlaCustomCallV2"))
"""Operations that TensorFlow does not mark as stateful, and whose code it does not know."""

_DRAWING: Final = (
    *("Random", "Rng", "Multinomial", "TruncatedNormal", "StandardNormal", "StatefulUniform", "NonDeterministicInts"),
    *("CandidateSampler", "SampleDistortedBoundingBox", "Skipgram", "NegTrain", " with dropout"),
    # These draw where they pool, with a seed of their own. Their gradients draw nothing.
    *("FractionalMaxPool", "FractionalAvgPool"),
)
_KEEPING: Final = (
    *("Assign", "ResourceScatter", "ResourceApply", "ResourceSparseApply", "ResourceCountUpTo"),
    *("LookupTableInsert", "LookupTableRemove", "LookupTableImport"),
)


def operations_in(graph: Any) -> set[str]:
    """The kinds of TensorFlow operations in a graph, and in the functions that it may call."""
    traced = graph.as_graph_def()
    functions = traced.library.function
    nodes = [*traced.node, *(node for function in functions for node in function.node_def)]
    # A function is also called by a node whose operation has the function's name.
    return {_kind(node) for node in nodes} - {function.signature.name for function in functions}


def check_examples_apart(operations: Set[str]) -> None:
    """Refuse a model in which what one example meets may depend on the others.

    Random layers, such as dropout, draw in an order that depends on who is there. A stateful recurrent layer begins an
    example where another one has ended. Python code may do either.

    Raises:
        ModelError: There is such an operation.
    """
    drawing = sorted(name for name in operations if any(part in name for part in _DRAWING))
    if drawing:
        raise ModelError(
            f"expected a model without random layers, such as dropout, found one that draws by {drawing[0]}: what "
            "it draws for one example would depend on the others; noise regularises as it is"
        )
    foreign = sorted(name for name in operations if "PyFunc" in name)
    if foreign:
        raise ModelError(
            f"expected a model of TensorFlow operations, found one that calls Python by {foreign[0]}: what that does "
            "for one example may depend on the others. Write the layer in TensorFlow."
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
            "what it gives for one example may depend on the others. Write that layer in operations without a state."
        )


def check_nothing_kept(operations: Set[str]) -> None:
    """Refuse a model that writes what a later example may read.

    Raises:
        ModelError: There is such an operation.
    """
    keeping = sorted(name for name in operations if any(part in name for part in _KEEPING))
    if keeping:
        raise ModelError(
            f"expected a model that keeps nothing from one example to the next, found one that does by {keeping[0]}, "
            "such as a stateful recurrent layer: an example would depend on those before it. Use stateful=False."
        )


def _kind(node: Any) -> str:
    draws = node.op.startswith("CudnnRNN") and node.attr["dropout"].f > 0
    return f"{node.op} with dropout" if draws else str(node.op)

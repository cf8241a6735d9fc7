"""The common part of checks of nodes: their kind, and what they find."""

from secagg.audit.attack import Attack, Layer, Level, Plan, Result
from secagg.audit.nodes.subject import NodeSubject


class NodeAttack(Attack[NodeSubject]):
    """An exact attack on a node's station or on a coordinator."""

    layer = Layer.ATTACK
    subjects = NodeSubject

    def plan(self, subject: NodeSubject, level: Level) -> Plan:
        """Plan one federation; see `Attack.plan`."""
        return Plan(trials=1, cpu_s=0.2)


def result(evidence: str) -> Result:
    """Return the result of an attack: it has succeeded if there is evidence, and has failed if that is empty."""
    succeeded = bool(evidence)
    return Result(
        statistic="attacks that succeeded",
        value=float(succeeded),
        threshold=1.0,
        rejected=succeeded,
        evidence=evidence,
    )

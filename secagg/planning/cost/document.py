"""A plan of costs as JSON."""

from typing import Any

import msgspec

from secagg.planning.cost.layout import Layout
from secagg.planning.cost.one_sum import Party
from secagg.planning.cost.planner import CostPlan, Row


def as_json(plan: CostPlan) -> str:
    """Return a plan as JSON: the request, each protocol that fits, the others, and the recommendation."""
    document = {
        "request": {
            "clients": plan.request.clients,
            "parameters": plan.request.parameters,
            "dropout": plan.request.dropout,
            "adversarial": plan.request.adversarial,
            "adversary": str(plan.request.adversary),
            "committee": plan.request.committee,
            "uplink_mbps": plan.request.uplink_mbps,
            "engine": str(plan.request.engine),
            "compression": plan.request.compression,
        },
        "protocols": [_row(row) for row in plan.rows],
        "refused": plan.refused,
        "recommended": None if plan.recommended is None else plan.recommended.kind.name,
        "why": plan.why,
        "model_bytes": plan.request.model_bytes,
        "constants": {
            "command": plan.constants.command,
            "machine": plan.constants.machine,
            "engine": plan.constants.engines[plan.request.engine],
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _row(row: Row) -> dict[str, Any]:
    one, key = row.one, row.one.size.key
    return {
        "name": row.kind.name,
        "parameters": str(one.protocol),
        "protects": row.kind.protects,
        "experimental": row.kind.experimental,
        "clients": one.size.clients,
        "coordinates": one.size.length,
        "modulus_bits": one.size.bits,
        "steps": one.steps,
        "client_steps": one.client_steps,
        "round_s": [row.low_s, row.high_s],
        "client": _party(row.client),
        "member": None if one.member is None else _party(one.member),
        "server": {"cpu_s": one.server_cpu_s, "memory_bytes": one.server_bytes, "link_s": one.link_s},
        "engine_memory_bytes": one.engine_bytes,
        "tolerates": {
            "dropouts": row.lost,
            "colluding_clients": row.colluding,
            "absent_members": None if key is None else key.members - key.threshold,
        },
        "one_server": not row.limits,
        "limits": row.limits,
        "layout": None if row.layout is None else _layout(row.layout),
    }


def _party(party: Party) -> dict[str, float]:
    return {
        "sent_bytes": party.sent_bytes,
        "received_bytes": party.received_bytes,
        "cpu_s": party.cpu_s,
        "starting_s": party.starting_s,
    }


def _layout(layout: Layout) -> dict[str, Any]:
    return {
        "slices": layout.slices,
        "workers": layout.workers,
        "levels": [{"sums": level.sums, "clients": level.clients} for level in layout.levels],
    }

"""Recipes of schema 1, as today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Losses of schema 1, whose names were keys of one table, with the weights that they had if left
#: out: those of ``diffusion``.
_LOSSES = {
    "denoising": ("denoising", 1.0),
    "nothing": ("no-event", 0.2),
    "regression": ("regression", 1.0),
    "forward": ("forward-consistency", 0.0),
    "laplacian": ("laplacian", 0.0),
    "variation": ("total-variation", 0.0),
    "temporal": ("temporal-smoothness", 0.0),
    "group": ("group-sparsity", 0.0),
    "band": ("band-power", 0.0),
}
#: family -> keys that were the recipe's and are the estimator's, by their names now.
_ESTIMATOR = {
    "atoms": {"extents": "extents"},
    "diffusion": {"matching": "matching"},
    "flow": {
        "estimator": "density",
        "hidden": "hidden",
        "transforms": "transforms",
        "parcels": "parcels",
        "context": "context",
        "floor": "floor",
    },
    "dipole": {
        "estimator": "density",
        "hidden": "hidden",
        "transforms": "transforms",
        "components": "components",
    },
}
#: family -> the losses that schema 1 had without a word.
_FIXED: dict[str, list[dict[str, Any]]] = {
    "atoms": [{"family": "next-source"}],
    "flow": [{"family": "parcel-nll"}, {"family": "no-event", "weight": 0.2}],
    "dipole": [{"family": "dipole-nll"}],
}
FAMILIES = tuple(_ESTIMATOR)


def upgrade_recipe(raw: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Convert a recipe of schema 1, or the part of one that extends another, to tables of schema 2.

    Parameters
    ----------
    raw : what the file says; a key that schema 1 did not have stays, so that it is refused.
    base : tables of schema 2 that it extends, if any.
    """
    family = str(raw.get("family") or _family(base) or "")
    if family not in _ESTIMATOR:
        return dict(raw)
    moved = {"schema", "family", "backbone", "losses", "replay", "mixture"} | set(
        _ESTIMATOR[family]
    )
    made: dict[str, Any] = {k: v for k, v in raw.items() if k not in moved}
    made["schema"] = 2
    keys = {new: raw[old] for old, new in _ESTIMATOR[family].items() if old in raw}
    if keys or base is None:
        made["estimator"] = {"family": family, **keys}
    if family != "dipole" and ("backbone" in raw or base is None):
        made["network"] = {"family": "transformer", **_backbone(raw.get("backbone", {}))}
    elif "backbone" in raw:
        made["backbone"] = raw["backbone"]
    if "losses" in raw and family != "diffusion":
        made["losses"] = raw["losses"]
    elif "losses" in raw or base is None:
        made["losses"] = _losses(family, raw.get("losses", {}), base)
    if "replay" in raw:
        made["strategy"] = {"family": "supervised", "replay": raw["replay"]}
    if "mixture" in raw:
        made["mixture"] = [_share(each) for each in raw["mixture"]]
    return made


def _family(base: Mapping[str, Any] | None) -> Any:
    return None if base is None else base.get("estimator", {}).get("family")


def _backbone(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return {}
    new = {"level": "ico", "n_heads": "n_attention_heads"}
    return {new.get(key, key): value for key, value in table.items()}


def _losses(family: str, table: Any, base: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if family != "diffusion":
        return _FIXED[family]
    before = {each["family"]: each.get("weight") for each in (base or {}).get("losses", ())}
    found = []
    for key, (name, default) in _LOSSES.items():
        known = before.get(name, default if base is None else 0.0)
        weight = table.get(key, default if known is None else known)
        if weight or key in ("denoising", "regression", "nothing"):
            found.append({"family": name, "weight": weight})
    unknown = [{"family": key, "weight": v} for key, v in table.items() if key not in _LOSSES]
    return [*found, *unknown]


def _share(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    return {"start" if key == "begins" else key: value for key, value in table.items()}

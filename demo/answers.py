"""Results as plain JSON, and the sentence about the effect of recovery. Imports no Gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from demo import core
from demo.html import whole_percent
from demo.model_facts import ModelFacts, Offered
from demo.service import Matrix, PatchAttention, PictureKey, RefinedView, SegmentView
from demo.service.compare import Difference, Variant
from demo.settings import REFINERS


def describe_model(key: PictureKey) -> Mapping[str, str]:
    """Return the model of a result as plain JSON."""
    return dict(zip(("model", "pretrained"), core.models.loading.parse_model(key.model), strict=True))


def describe(view: SegmentView, *, masks: bool = False) -> Mapping[str, Any]:
    """Return a result as plain JSON.

    Args:
        view: the result.
        masks: True adds the mask of each class as COCO run lengths, in the frame of `size`.
    """
    result = view.result
    found = core.io.export.record.describe_classes(result) if masks else []
    return {
        **describe_model(view.run.key),
        "size": list(result.size),
        "grid": list(result.grid),
        "classes": [
            {
                "index": row.index,
                "name": row.name,
                "colour": row.colour,
                "area": round(row.area, 6),
                "confidence": round(row.confidence, 4),
                **({"rle": found[row.index]["rle"]} if masks else {}),
            }
            for row in view.legend
        ],
        "class_names": list(result.class_names),
        "regions": int(result.patch_clusters.max()) + 1,
        "patch_clusters": result.patch_clusters.reshape(result.grid).tolist(),
        "encoding_cached": view.encoding_cached,
        "settings": dict(result.settings),
        "timings": {stage: round(float(seconds), 6) for stage, seconds in result.timings.items()},
        "notes": list(result.notes),
    }


def describe_models(loaded: Iterable[ModelFacts], offered: Iterable[Offered]) -> Mapping[str, Any]:
    """Return the loaded and the offered models as plain JSON."""
    return {
        "loaded": [{**dataclasses.asdict(facts), "patch": list(facts.patch)} for facts in loaded],
        "offered": [dataclasses.asdict(entry) for entry in offered],
    }


def sentence(attention: PatchAttention | Matrix) -> str:
    """Return a sentence about the effect of recovery, suited to screen readers; it contains no markup."""
    before, after = attention.numbers
    if isinstance(attention, PatchAttention) and attention.received is not None:
        was, became = (f"{value:.{1 if value >= 0.1 else 2}f}" for value in attention.received)
        return (
            f"Before recovery this patch received {was} times uniform attention, {_part(before.near)} of it "
            f"from its surroundings; after it {became} times, {_part(after.near)} of it from its surroundings."
        )
    whose = "an average patch's" if isinstance(attention, Matrix) else "this patch's" if attention.patch else "[CLS]'s"
    count = len(attention.global_patches)
    if count:
        patches = core.errors.counted(count, "global patch", "global patches")
        where = f"{patches} ({_part(count / _patches(attention))} of all)"
        first = (before.on_global, after.on_global)
    else:
        where, first = "its ten strongest patches (this layer has no global ones)", (before.strongest, after.strongest)
    text = f"Before recovery, {_part(first[0])} of {whose} attention went to {where}; after it, {_part(first[1])}"
    if before.near is None or after.near is None:
        return f"{text}."
    near = _part(before.near), _part(after.near)
    turn = "rose" if after.near > before.near else "fell"
    change = f"stayed at {near[0]}" if near[0] == near[1] else f"{turn} from {near[0]} to {near[1]}"
    return f"{text}, and the share of its own surroundings {change}."


def describe_patch_attention(attention: PatchAttention) -> Mapping[str, Any]:
    """Return the maps and numbers of one patch as plain JSON."""
    before, after = attention.numbers
    row, column = attention.patch or (None, None)
    return {
        **describe_model(attention.key),
        "row": row,
        "column": column,
        "layer": attention.layer,
        "layers": attention.key.layers,
        "head": attention.head,
        "heads": attention.key.heads,
        "direction": attention.direction,
        "grid": list(attention.key.grid),
        "attention": attention.attention.tolist(),
        "recovered": attention.recovered.tolist(),
        "affinity": attention.affinity.tolist(),
        "numbers": {"before": dataclasses.asdict(before), "after": dataclasses.asdict(after)},
        "summary": sentence(attention),
        "global_patches": [
            {"row": row, "column": column, "rank_before": first, "rank_after": second}
            for (row, column), (first, second) in zip(attention.global_patches, attention.ranks, strict=True)
        ],
    }


def _patches(attention: PatchAttention | Matrix) -> int:
    return attention.key.grid[0] * attention.key.grid[1]


def _part(share: float | None) -> str:
    return whole_percent(share or 0)


def describe_refinement(better: RefinedView, *, masks: bool = False) -> Mapping[str, Any]:
    """Return a refined result as plain JSON.

    Args:
        better: the result before and after refinement.
        masks: True adds the mask of each class as COCO run lengths.
    """
    report = better.refined.report
    return {
        **describe(better.after, masks=masks),
        "refinement": {
            "refiner": report.refiner,
            "mode": report.mode,
            "changed": report.changed,
            "gained": dict(report.gained),
            "lost": dict(report.lost),
            "components": [
                {
                    "class_name": component.class_name,
                    "area": component.area,
                    "point": list(component.point),
                    "box": list(component.box),
                    "predicted_iou": round(component.predicted_iou, 4),
                    "agreement": round(component.agreement, 4),
                    "accepted": component.accepted,
                    "reason": component.reason,
                }
                for component in report.components
            ],
        },
    }


def describe_refiners(available: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return all refiners as plain JSON, and whether their weights are downloaded; None if not in `available`."""
    return [
        {"name": name, "megabytes": megabytes, "downloaded": available.get(name)} for name, megabytes, _ in REFINERS
    ]


def describe_comparison(first: SegmentView, compared: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a comparison as plain JSON.

    Args:
        first: result with which the others are compared.
        compared: the other results, each as from `describe_compared`.
    """
    return {
        **describe_model(first.run.key),
        "size": list(first.result.size),
        "grid": list(first.result.grid),
        "compared": list(compared),
    }


def describe_compared(variant: Variant, view: SegmentView, found: Difference) -> Mapping[str, Any]:
    """Return one result of a comparison as plain JSON, with its differences from the first."""
    return {
        "name": variant.name,
        "title": variant.title,
        "classes": [
            {
                "index": row.index,
                "name": row.name,
                "area": round(row.area, 6),
                "confidence": round(row.confidence, 4),
            }
            for row in view.legend
        ],
        "changed": round(found.share, 6),
        "class_changes": {one.name: round(one.delta, 6) for one in found.classes},
        "settings": dict(view.result.settings),
        "timings": {stage: round(float(took), 6) for stage, took in view.result.timings.items()},
        "result_cached": view.result_cached,
        "notes": list(view.result.notes),
    }

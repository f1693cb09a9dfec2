"""Patch features of a method, computed from an encoding as its registry entry describes.

Methods that change blocks before the last one share one more forward pass of the picture.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.methods.registry import CLIPTRASE, METHODS, Method, ResclipSettings
from cliptrase_core.methods.resclip import first_labels, label_structure, middle_blocks, residual_values
from cliptrase_core.models.attention import correlated_values, neighbour_bias, smoothed_values
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import Projections, attention_branch, mlp_branch, project, vanilla_block
from cliptrase_core.models.encoder import normalise
from cliptrase_core.presets import preset_by_name
from cliptrase_core.results import ImageEncoding


class MethodFeatures:
    """Features of methods on one image tower; safe to share between threads.

    The pass that a few methods need is made once for each picture and kept while its encoding lives.
    """

    def __init__(self, backbone: Backbone, mean: Sequence[float], std: Sequence[float], scale: float) -> None:
        """Keep what every picture needs.

        Args:
            backbone: the image tower.
            mean: of each channel, as the model was trained.
            std: per channel, of pixels in [0, 1].
            scale: exp(logit_scale) of the model.
        """
        self._backbone = backbone
        self._colours = mean, std
        self._scale = scale
        self._deep: weakref.WeakKeyDictionary[ImageEncoding, DeepParts] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Pictures whose pass is kept."""
        return len(self._deep)

    def scale(self, method: Method) -> float:
        """Factor of cosines before softmax."""
        return self._scale if method.temperature is None else method.temperature

    def get(
        self, encoding: ImageEncoding, method: Method, text: Tensor, prompt_labels: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """[CLS] (D,) and patch (N, D) features of a method, unit rows.

        Args:
            encoding: of this image tower.
            method: any.
            text: (P, D), unit rows; used only by a method with `resclip`.
            prompt_labels: class of each of the P words.
        """
        if method == CLIPTRASE:  # these were made with the encoding
            return encoding.cls, encoding.patches
        if method.own_path:
            features = self._own_path(encoding, method)
        elif method.resclip is not None:
            features = self._corrected(encoding, method, method.resclip, text, prompt_labels)
        else:
            features = self._last_block(encoding, method)
        return features[0], features[1:]

    def _last_block(self, encoding: ImageEncoding, method: Method) -> Tensor:
        last, tokens = self._backbone.blocks[-1], encoding.last_input[None]
        mixed = mixed_values(last, tokens, project(last, tokens), method, _neighbours(encoding, method))
        return self._backbone.features(changed_block(last, tokens, mixed, method))[0]

    def _corrected(
        self,
        encoding: ImageEncoding,
        method: Method,
        settings: ResclipSettings,
        text: Tensor,
        prompt_labels: Sequence[int],
    ) -> Tensor:
        """ResCLIP: a first division among the words, then a second one that its structure guides."""
        last, tokens = self._backbone.blocks[-1], encoding.last_input[None]
        p, middle = project(last, tokens), self._parts(encoding).middle_values
        bias = _neighbours(encoding, method)

        def divided(structure: Tensor | None) -> Tensor:
            mixed = residual_values(p.k, p.v, middle, bias, settings, structure)
            return self._backbone.features(changed_block(last, tokens, mixed, method))[0]

        patches = divided(None)[1:]
        logits = self.scale(method) * text.to(patches.dtype) @ patches.T  # (P, N)
        labels = first_labels(
            logits.reshape(-1, *encoding.grid),
            torch.tensor(prompt_labels),
            torch.from_numpy(encoding.model_input).permute(2, 0, 1).to(patches.device),
            self._backbone.patch,
            settings,
        )
        return divided(label_structure(labels).to(patches.device, tokens.dtype))

    def _own_path(self, encoding: ImageEncoding, method: Method) -> Tensor:
        if method in METHODS.values():
            return self._parts(encoding).features[method]
        return self._pass(encoding, [method]).features[method]  # with other switches: not kept

    def _parts(self, encoding: ImageEncoding) -> DeepParts:
        with self._lock:
            kept = self._deep.get(encoding)
        if kept is None:
            kept = self._pass(encoding, [method for method in METHODS.values() if method.own_path])
            with self._lock:
                self._deep[encoding] = kept
        return kept

    def _pass(self, encoding: ImageEncoding, methods: Sequence[Method]) -> DeepParts:
        pixels = normalise(encoding.model_input, *self._colours)[None]
        tokens = self._backbone.embed(pixels, preset_by_name(encoding.preset).positions)
        return deep_parts(self._backbone, tokens, encoding.last_input[None], methods)


def _neighbours(encoding: ImageEncoding, method: Method) -> Tensor | None:
    """What makes neighbours attract each other (1+N, 1+N), in the tokens' type; None if nothing does."""
    if method.neighbours is None:
        return None
    return neighbour_bias(encoding.grid, method.neighbours).to(encoding.last_input)


@dataclass(frozen=True, eq=False)
class DeepParts:
    """What the pass leaves of one picture.

    Attributes:
        features: by method, of those with a path of their own: (1+N, D), unit rows, row 0 is the unchanged [CLS].
        middle_values: (1, heads, T, d), values of the last block mixed by the middle blocks' mean attention.
    """

    features: Mapping[Method, Tensor]
    middle_values: Tensor


def deep_parts(backbone: Backbone, tokens: Tensor, last_input: Tensor, methods: Sequence[Method]) -> DeepParts:
    """Run all blocks unchanged, and beside them the paths of methods.

    Args:
        backbone: the image tower.
        tokens: (1, 1+N, width), what enters the first block.
        last_input: (1, 1+N, width), what enters the last.
        methods: those with a path of their own.
    """
    blocks = backbone.blocks
    middle = middle_blocks(len(blocks))
    last_values = project(blocks[-1], last_input).v
    mixed = torch.zeros_like(last_values)
    paths: dict[Method, Tensor] = {}
    for index, block in enumerate(blocks):
        p = project(block, tokens)
        if index in middle:
            # Mean attention times values is the mean of attention times values: no (T, T) matrix stands in memory.
            mixed += F.scaled_dot_product_attention(p.q, p.k, last_values) / len(middle)
        for method in methods:
            if index >= len(blocks) - method.blocks:
                path = paths.get(method, tokens)
                paths[method] = changed_block(block, path, mixed_values(block, tokens, p, method), method)
        tokens = vanilla_block(block, tokens, p)
    cls = backbone.features(tokens)[0, :1]
    features = {method: torch.cat([cls, backbone.features(path)[0, 1:]]) for method, path in paths.items()}
    return DeepParts(features, mixed)


def mixed_values(
    block: Any, tokens: Tensor, p: Projections, method: Method, neighbours: Tensor | None = None
) -> Tensor:
    """Values of a changed block, mixed as the method says; ResCLIP's corrections apart.

    Args:
        block: of the image tower.
        tokens: (1, T, width), what enters it on the unchanged path.
        p: its projections of these.
        method: any.
        neighbours: (T, T), added to scaled correlations.

    Returns:
        (1, heads, T, d).
    """
    if method.smoothing is None:
        return correlated_values(p.q, p.k, p.v, method.pairs, neighbours)
    norm = block.ln_1(tokens).norm(dim=-1).mean()
    return smoothed_values(p.q, p.k, p.v, float(norm) * p.q.shape[-1] ** -0.5, method.smoothing)


def changed_block(block: Any, tokens: Tensor, mixed: Tensor, method: Method) -> Tensor:
    """What leaves a block (1, T, width), with residual and MLP as the method says."""
    out = attention_branch(block, mixed)
    if method.residual != "none":
        out = out + (tokens if method.residual == "patch" else tokens[:, :1])
    return out + mlp_branch(block, out) if method.mlp else out

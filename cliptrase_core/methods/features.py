"""Patch features of a method, computed from an encoding and the method's registry entry, and scores of words on them.

Methods that change blocks before the last one share one extra forward pass of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cache import CacheOfEach
from cliptrase_core.errors import InputError
from cliptrase_core.methods.registry import CLIPTRASE, METHODS, Method, ResclipSettings
from cliptrase_core.methods.resclip import first_labels, label_structure, middle_blocks, residual_values
from cliptrase_core.models.attention import correlated_values, neighbour_bias, smoothed_values
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import Projections, attention_branch, mlp_branch, project, vanilla_block
from cliptrase_core.models.encoder import normalise
from cliptrase_core.presets import preset_of_encoding
from cliptrase_core.results import ImageEncoding

_OWN_PATHS = tuple(method for method in METHODS.values() if method.own_path)


class MethodFeatures:
    """Patch features of all methods on one image tower; safe to share between threads.

    Some methods need the extra pass. It runs once per picture for all methods of the registry, and once for a changed
    one; the last two results are cached as long as the encoding exists.
    """

    def __init__(self, backbone: Backbone, mean: Sequence[float], std: Sequence[float], scale: float) -> None:
        """Store the image tower and the constants of the model.

        Args:
            backbone: the image tower.
            mean: mean of each channel in training, of pixels in [0, 1].
            std: standard deviation of each channel, of pixels in [0, 1].
            scale: exp(logit_scale) of the model.
        """
        self._backbone = backbone
        self._colours = mean, std
        self._scale = scale
        self._deep: CacheOfEach[DeepParts] = CacheOfEach(2)

    def __len__(self) -> int:
        """Return the number of pictures with a cached pass."""
        return len(self._deep)

    def scale(self, method: Method) -> float:
        """Return the factor of cosines before softmax."""
        return self._scale if method.temperature is None else method.temperature

    def get(
        self, encoding: ImageEncoding, method: Method, text: Tensor, prompt_labels: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return [CLS] features (D,) and patch features (N, D) of a method, unit rows.

        Args:
            encoding: encoding by this image tower.
            method: any method.
            text: (P, D), unit rows; used only by a method with `resclip`.
            prompt_labels: class index of each of the P prompts.
        """
        expect_depth(method, len(self._backbone.blocks))
        if method == CLIPTRASE:  # already computed with the encoding
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
        """Return ResCLIP's features (1+N, D): a first labelling of the patches, then one guided by its structure."""
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
            torch.tensor(encoding.model_input).permute(2, 0, 1).to(patches.device),
            self._backbone.patch,
            settings,
        )
        return divided(label_structure(labels).to(patches.device, tokens.dtype))

    def _own_path(self, encoding: ImageEncoding, method: Method) -> Tensor:
        return self._parts(encoding, _OWN_PATHS if method in _OWN_PATHS else (method,)).features[method]

    def _parts(self, encoding: ImageEncoding, methods: tuple[Method, ...] = _OWN_PATHS) -> DeepParts:
        return self._deep.get(encoding, methods, lambda: self._pass(encoding, methods))

    def _pass(self, encoding: ImageEncoding, methods: Sequence[Method]) -> DeepParts:
        pixels = normalise(encoding.model_input, *self._colours)[None]
        tokens = self._backbone.embed(pixels, preset_of_encoding(encoding.preset).positions)
        return deep_parts(self._backbone, tokens, encoding.last_input[None], methods)


def expect_depth(method: Method, layers: int) -> None:
    """Raise InputError if somebody gave a method more blocks than the model has; known methods then change all."""
    if method.blocks > layers and method.blocks != METHODS[method.name].blocks:
        expected = f"at most {layers}, all blocks of the model"
        remedy = "Give fewer blocks."
        raise InputError(f"blocks of method {method.name}", expected=expected, got=str(method.blocks), remedy=remedy)


def _neighbours(encoding: ImageEncoding, method: Method) -> Tensor | None:
    """Return the bias (1+N, 1+N) between neighbouring patches, in the tokens' dtype; None if the method has none."""
    if method.neighbours is None:
        return None
    return neighbour_bias(encoding.grid, method.neighbours).to(encoding.last_input)


@dataclass(frozen=True, eq=False)
class DeepParts:
    """Result of the extra forward pass for one picture.

    Attributes:
        features: (1+N, D) by method, for methods with a separate path; unit rows, row 0 is the unchanged [CLS].
        middle_values: (1, heads, T, d), values of the last block mixed by the middle blocks' mean attention.
    """

    features: Mapping[Method, Tensor]
    middle_values: Tensor


def deep_parts(backbone: Backbone, tokens: Tensor, last_input: Tensor, methods: Sequence[Method]) -> DeepParts:
    """Run all blocks unchanged, together with the separate paths of the methods.

    Args:
        backbone: the image tower.
        tokens: (1, 1+N, width), input of the first block.
        last_input: (1, 1+N, width), input of the last block.
        methods: methods with a separate path.
    """
    blocks = backbone.blocks
    middle = middle_blocks(len(blocks))
    last_values = project(blocks[-1], last_input).v
    mixed = torch.zeros_like(last_values)
    paths: dict[Method, Tensor] = {}
    for index, block in enumerate(blocks):
        p = project(block, tokens)
        if index in middle:
            # Mean attention times values is the mean of attention times values: no (T, T) matrix is stored.
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
    """Mix the values of a changed block as the method specifies, without ResCLIP's corrections.

    Args:
        block: a block of the image tower.
        tokens: (1, T, width), input of the block on the unchanged path.
        p: projections of these tokens by the block.
        method: any method.
        neighbours: (T, T), added to the scaled correlations; None for none.

    Returns:
        (1, heads, T, d).
    """
    if method.smoothing is None:
        return correlated_values(p.q, p.k, p.v, method.pairs, neighbours)
    norm = block.ln_1(tokens).norm(dim=-1).mean()
    return smoothed_values(p.q, p.k, p.v, float(norm) * p.q.shape[-1] ** -0.5, method.smoothing)


def changed_block(block: Any, tokens: Tensor, mixed: Tensor, method: Method) -> Tensor:
    """Return the output of a changed block (1, T, width), with the residual and MLP of the method."""
    out = attention_branch(block, mixed)
    if method.residual != "none":
        out = out + (tokens if method.residual == "patch" else tokens[:, :1])
    return out + mlp_branch(block, out) if method.mlp else out


def word_logits(scale: float, cls: Tensor, patches: Tensor, text: Tensor, image_prior: bool) -> Tensor:
    """Return the scores of prompts at patches; with `image_prior`, multiplied by the scores of the whole picture.

    Args:
        scale: factor of cosines, see `MethodFeatures.scale`.
        cls: (D,), [CLS] feature of unit length.
        patches: (N, D), unit rows.
        text: (P, D), unit rows.
        image_prior: see `Segmenter.segment`.

    Returns:
        (N, P).

    Raises:
        InputError: scores overflow.
    """
    text = text.to(patches.dtype)
    logits = scale * patches @ text.T
    if image_prior:
        logits = logits * (scale * cls @ text.T)
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            "scores",
            expected="finite numbers",
            got="an overflow",
            remedy="Use precision fp32, or text features of unit length.",
        )
    return logits

"""The whole computation behind two calls: `encode` a picture once, `segment` it by any words."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cliptrase_core import weights
from cliptrase_core.attention import recovered_affinity, recovered_attention
from cliptrase_core.backbone import Backbone, PositionResize, check_backbone, image_tower
from cliptrase_core.blocks import finish_block, project, vanilla_block
from cliptrase_core.clustering import ClusterSettings, cluster_means, cluster_patches
from cliptrase_core.decode import largest_at_pixels, region_maps, value_of_chosen, vote
from cliptrase_core.denoise import DENOISE_MODES, Denoise, clustering_rows, drop_global_clusters
from cliptrase_core.errors import InputError, explain
from cliptrase_core.geometry import Frame
from cliptrase_core.imaging import DEFAULT_MAX_PIXELS, ImageInput, read_image
from cliptrase_core.inspection import AttentionMaps, Capture, capture
from cliptrase_core.methods import METHODS, Method, method_by_name
from cliptrase_core.precision import PRECISIONS, resolve_precision
from cliptrase_core.preprocess import normalise, resize_and_crop
from cliptrase_core.presets import Preset, preset_by_name
from cliptrase_core.result import ImageEncoding, Segmentation
from cliptrase_core.text import TextEncoder
from cliptrase_core.version import VERSION
from cliptrase_core.vocabulary import Vocabulary, WordGroup, parse_vocabulary

KEPT_CLUSTERINGS = 4
"""Clusterings of one picture that are kept while its encoding lives: what sliders go back and forth between."""


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """A picture's clusters, in patches and in pixels.

    Attributes:
        patch_clusters: (N,) int64, -1 = noise.
        labels: (H0, W0) int32, cluster that claims each pixel, -1 everywhere when there is no cluster.
    """

    patch_clusters: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]


class Segmenter:
    """CLIPtrase on one frozen CLIP; keeps nothing of any picture, so threads and people can share one.

    Make one with `from_pretrained` or `from_open_clip`.
    """

    def __init__(self, loaded: weights.LoadedModel, *, precision: str = "fp32", device: str | None = None) -> None:
        """Check the model and move a copy of it where it is asked for.

        Args:
            loaded: an open_clip model with its tokenizer; never changed, copied when it must be moved or cast.
            precision: "fp32", "bf16", "fp16" or "auto".
            device: as torch names it; None keeps the model where it is.

        Raises:
            UnsupportedBackboneError: CLIPtrase cannot run on this model.
            InputError: unknown precision or device.
        """
        check_backbone(image_tower(loaded.model))  # before anything is copied
        target = _device(device) if device else next(loaded.model.parameters()).device
        dtype = resolve_precision(precision, target)
        model = _placed(loaded.model, target, dtype)
        self.info = dataclasses.replace(loaded, model=model)
        self.precision = next(name for name, value in PRECISIONS.items() if value == dtype)
        self.device = target
        self.backbone = Backbone(image_tower(model))
        self._text = TextEncoder(model, loaded.tokenizer)
        self._logit_scale = float(model.logit_scale.detach().float().exp())
        # The weights' digest and the precision: encodings of another model or type do not mix with this one's.
        self.model_id = f"{loaded.digest}-{self.precision}"
        self._clusterings: weakref.WeakKeyDictionary[ImageEncoding, OrderedDict[Any, Regions]]
        self._clusterings = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name: str = "nano",
        pretrained: str | os.PathLike[str] | None = None,
        *,
        device: str | None = None,
        precision: str = "fp32",
    ) -> Segmenter:
        """Load a model by name.

        Args:
            name: "nano" or an architecture of open_clip, such as "ViT-B-16".
            pretrained: open_clip's tag for its weights, or the path of a file; None takes OpenAI's.
            device: as torch names it; None takes a GPU when there is one.
            precision: "fp32", "bf16", "fp16" or "auto".

        Raises:
            WeightsError: missing, damaged or mismatched weights.
            UnsupportedBackboneError: CLIPtrase cannot run on this architecture.
            InputError: unknown name, precision or device.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(weights.load(name, pretrained), precision=precision, device=device)

    @classmethod
    def from_open_clip(
        cls,
        model: nn.Module,
        tokenizer: Callable[..., Tensor] | None = None,
        *,
        device: str | None = None,
        precision: str | None = None,
    ) -> Segmenter:
        """Use a model that is already built; it is read, never modified.

        Args:
            model: an open_clip model.
            tokenizer: its tokenizer; None takes CLIP's own.
            device: None keeps the model where it is.
            precision: None keeps the model's type.

        Raises:
            UnsupportedBackboneError: CLIPtrase cannot run on this model.
        """
        backbone = Backbone(image_tower(model))
        loaded = weights.given(model, tokenizer, fingerprint=_fingerprint(model))
        names = {value: key for key, value in PRECISIONS.items()}
        return cls(loaded, device=device, precision=precision or names.get(backbone.dtype, "fp32"))

    def encode(
        self,
        image: ImageInput,
        preset: str = "auto",
        *,
        short_side: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> ImageEncoding:
        """Everything about a picture that does not depend on words.

        Args:
            image: a path, a PIL image, or (H, W, 3) uint8.
            preset: "auto" labels the whole picture in its own size; "paper-224" and "paper-336" reproduce the
                published script and label its centre crop.
            short_side: pixels that the model sees along the short side, instead of the preset's.
            max_pixels: a larger picture is refused before it is decoded.

        Raises:
            InputError: not a usable picture, or unknown preset.
        """
        return self.encode_batch([image], preset, short_side=short_side, max_pixels=max_pixels)[0]

    def encode_batch(
        self,
        images: Sequence[ImageInput],
        preset: str = "auto",
        *,
        short_side: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> list[ImageEncoding]:
        """`encode` of several pictures; those of equal model frame share a forward pass."""
        plan = preset_by_name(preset)
        start = time.perf_counter()
        prepared = [self._prepare(image, plan, short_side, max_pixels) for image in images]
        read_seconds = (time.perf_counter() - start) / max(1, len(prepared))
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, (_, frame) in enumerate(prepared):
            by_size.setdefault(frame.model, []).append(index)
        out: dict[int, ImageEncoding] = {}
        for members in by_size.values():
            start = time.perf_counter()
            parts = self._run(torch.stack([prepared[i][0] for i in members]), plan.positions)
            seconds = (time.perf_counter() - start) / len(members)
            for place, index in enumerate(members):
                features, affinity, last_input = (part[place] for part in parts)
                out[index] = ImageEncoding(
                    patches=features[1:],
                    cls=features[0],
                    affinity=affinity,
                    last_input=last_input,
                    frame=prepared[index][1],
                    preset=plan.name,
                    model_id=self.model_id,
                    timings={"read": read_seconds, "encode": seconds},
                )
        return [out[index] for index in range(len(prepared))]

    def segment(
        self,
        encoding: ImageEncoding,
        vocabulary: str | Vocabulary | None = None,
        *,
        method: str = "cliptrase",
        text_features: Tensor | npt.NDArray[np.floating[Any]] | None = None,
        class_names: Sequence[str] | None = None,
        eps: float | None = None,
        min_samples: int | None = None,
        denoise: Denoise = "cls",
        templates: str | None = None,
        image_prior: bool = False,
    ) -> Segmentation:
        """Divide an encoded picture among words. The picture does not run through the model again.

        Args:
            encoding: from `encode` of the same segmenter.
            vocabulary: "cat, kitten; dog | background: wall, floor", a data set's name, or a parsed vocabulary.
            method: "cliptrase" or "clip".
            text_features: (P, D), instead of a vocabulary: skips the text tower, rows are used as they are.
            class_names: with `text_features`: names of its first rows; further rows are background words.
            eps: DBSCAN's radius; None takes the preset's.
            min_samples: DBSCAN's core size; None takes the preset's.
            denoise: "cls", "dice" or "none".
            templates: template set; None takes the preset's.
            image_prior: multiply every patch's scores by the whole picture's, as the published script does
                for VOC20 only; words that do not suit the picture as a whole then seldom win.

        Raises:
            InputError: an encoding of another model, an unusable vocabulary, or a setting out of range.
        """
        chosen = method_by_name(method)
        preset = self._check_encoding(encoding)
        settings = self._cluster_settings(encoding, preset, eps, min_samples, denoise)
        templates = templates or preset.templates
        timings = dict(encoding.timings)
        with torch.inference_mode():
            with _timed(timings, "text"):
                words, text = self._words(vocabulary, text_features, class_names, templates, len(encoding.cls))
            with _timed(timings, "features"):
                cls, patches = self._features(encoding, chosen)
            with _timed(timings, "cluster"):
                regions = self.regions(encoding, settings, denoise)
            with _timed(timings, "label"):
                labels, confidence = self._label(
                    encoding, cls, patches, text, words, regions.labels if chosen.regions_vote else None, image_prior
                )
        return Segmentation(
            labels=labels,
            regions=regions.labels,
            confidence=confidence,
            class_names=words.class_names,
            patch_clusters=regions.patch_clusters,
            grid=encoding.grid,
            settings={
                **self._describe(encoding),
                "vocabulary": words.text,
                "method": chosen.name,
                "eps": settings.eps,
                "min_samples": settings.min_samples,
                "denoise": denoise,
                "templates": templates if text_features is None else "given features",
                "image_prior": image_prior,
            },
            timings=timings,
            notes=words.notes,
        )

    def regions(self, encoding: ImageEncoding, settings: ClusterSettings, denoise: Denoise = "cls") -> Regions:
        """Clusters of an encoded picture; kept while the encoding lives, since words do not change them.

        Raises:
            InputError: unknown denoising.
        """
        key = (settings, denoise)
        with self._lock:
            kept = self._clusterings.setdefault(encoding, OrderedDict())
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        regions = _find_regions(encoding, settings, denoise)
        with self._lock:
            kept[key] = regions
            while len(kept) > KEPT_CLUSTERINGS:
                kept.popitem(last=False)
        return regions

    def capture(
        self,
        image: ImageInput,
        preset: str = "auto",
        *,
        short_side: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Capture:
        """One pass that serves the maps of every layer, head and patch."""
        plan = preset_by_name(preset)
        pixels, frame = self._prepare(image, plan, short_side, max_pixels)
        return capture(self.backbone, pixels, frame, plan.positions)

    def inspect(
        self,
        image: ImageInput,
        layer: int | None = None,
        *,
        head: int | None = None,
        preset: str = "auto",
        short_side: int | None = None,
    ) -> AttentionMaps:
        """Maps of one layer of one picture; for several, keep a `capture`.

        Args:
            image: a path, a PIL image, or (H, W, 3) uint8.
            layer: block, counted from 1; None takes the last but one.
            head: head, counted from 1; None takes the mean.
            preset: how the picture is laid out.
            short_side: pixels that the model sees along the short side, instead of the preset's.
        """
        return self.capture(image, preset, short_side=short_side).maps(layer, head)

    def default_clustering(self, patches: int) -> ClusterSettings:
        """The `auto` rule: eps grows with sqrt(N), min_samples with N, times the model's own factors."""
        rule = self.info.clustering
        return ClusterSettings(rule.eps_per_sqrt_n * patches**0.5, max(1, round(rule.min_samples_per_patch * patches)))

    def _prepare(
        self, image: ImageInput, plan: Preset, short_side: int | None, max_pixels: int
    ) -> tuple[Tensor, Frame]:
        pixels = read_image(image, max_pixels=max_pixels)
        side = short_side if short_side is not None else plan.short_side or self.info.short_side
        frame = plan.frame((pixels.shape[0], pixels.shape[1]), side, self.backbone.patch)
        return normalise(resize_and_crop(pixels, frame), self.info.mean, self.info.std), frame

    @torch.inference_mode()
    def _run(self, pixels: Tensor, positions: PositionResize) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, 1+N, D), affinity (B, 1+N, 1+N) and last block's input (B, 1+N, width)."""
        *early, before_last, last = self.backbone.blocks
        tokens = self.backbone.embed(pixels, positions)
        for block in early:
            tokens = vanilla_block(block, tokens)
        p = project(before_last, tokens)
        affinity = recovered_affinity(p.q, p.k, p.v)
        last_input = vanilla_block(before_last, tokens, p)
        p = project(last, last_input)
        features = self.backbone.features(finish_block(last, last_input, recovered_attention(p.q, p.k, p.v)))
        return features, affinity, last_input

    def _features(self, encoding: ImageEncoding, method: Method) -> tuple[Tensor, Tensor]:
        """[CLS] (D,) and patch (N, D) features of a method; only the last block can differ."""
        if method.mix is METHODS["cliptrase"].mix:
            return encoding.cls, encoding.patches
        last, tokens = self.backbone.blocks[-1], encoding.last_input[None]
        p = project(last, tokens)
        features = self.backbone.features(finish_block(last, tokens, method.mix(p.q, p.k, p.v)))[0]
        return features[0], features[1:]

    def _label(
        self,
        encoding: ImageEncoding,
        cls: Tensor,
        patches: Tensor,
        text: Tensor,
        words: Vocabulary,
        regions: npt.NDArray[np.int32] | None,
        image_prior: bool,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Labels and confidence in the labels' frame."""
        text = text.to(patches.dtype)
        logits = self._logit_scale * patches @ text.T  # (N, P)
        if image_prior:
            logits = logits * (self._logit_scale * cls @ text.T)
        maps = logits.T.reshape(-1, *encoding.grid)  # (P, h, w)
        label_of = torch.tensor(words.prompt_labels, device=maps.device)
        prompts = largest_at_pixels(maps, encoding.frame.labels)
        labels = label_of[prompts.long()].to(torch.int32).cpu().numpy()
        count = len(words.class_names)
        if regions is not None and regions[0, 0] >= 0:
            labels = vote(labels, regions, count)
        # A class is as likely as its likeliest word.
        scores = maps.new_full((count, *encoding.grid), -torch.inf)
        scores.scatter_reduce_(0, label_of[:, None, None].expand_as(maps), maps, "amax")
        confidence = value_of_chosen(scores.softmax(dim=0), torch.from_numpy(labels).to(maps.device))
        return labels, confidence.clamp_(0, 1).cpu().numpy()

    def _words(
        self,
        vocabulary: str | Vocabulary | None,
        text_features: Tensor | npt.NDArray[np.floating[Any]] | None,
        class_names: Sequence[str] | None,
        templates: str,
        width: int,
    ) -> tuple[Vocabulary, Tensor]:
        if text_features is None:
            if vocabulary is None or class_names is not None:
                raise InputError(
                    explain(
                        "words",
                        expected="a vocabulary, or text_features with class_names",
                        got="no vocabulary" if vocabulary is None else "a vocabulary with class_names",
                        remedy='For example "cat, kitten; dog | background: wall, floor".',
                    )
                )
            words = vocabulary if isinstance(vocabulary, Vocabulary) else parse_vocabulary(vocabulary)
            return words, self._text.embed(words.prompts, templates)
        if vocabulary is not None:
            raise InputError(
                explain("words", expected="a vocabulary or text_features", got="both", remedy="Leave one out.")
            )
        return _given_features(text_features, class_names, width, self.device)

    def _cluster_settings(
        self, encoding: ImageEncoding, preset: Preset, eps: float | None, min_samples: int | None, denoise: str
    ) -> ClusterSettings:
        if denoise not in DENOISE_MODES:
            known = ", ".join(DENOISE_MODES)
            raise InputError(explain("denoise", expected=f"one of {known}", got=repr(denoise), remedy="Pick one."))
        base = preset.clustering or self.default_clustering(len(encoding.patches))
        return ClusterSettings(
            base.eps if eps is None else eps, base.min_samples if min_samples is None else min_samples
        )

    def _check_encoding(self, encoding: ImageEncoding) -> Preset:
        given = encoding.model_id if isinstance(encoding, ImageEncoding) else type(encoding).__name__
        if given != self.model_id:
            raise InputError(
                explain(
                    "encoding",
                    expected=f"one made by this model ({self.model_id})",
                    got=str(given),
                    remedy="Encode the picture with this segmenter first.",
                )
            )
        return preset_by_name(encoding.preset)

    def _describe(self, encoding: ImageEncoding) -> Mapping[str, Any]:
        return {
            "model": self.info.name,
            "pretrained": self.info.pretrained,
            "weights": self.info.digest,
            "device": str(self.device),
            "precision": self.precision,
            "preset": encoding.preset,
            "original_size": list(encoding.frame.original),
            "model_size": list(encoding.frame.model),
            "version": VERSION,
        }


def _find_regions(encoding: ImageEncoding, settings: ClusterSettings, denoise: Denoise) -> Regions:
    rows = clustering_rows(encoding.affinity, denoise)
    clusters = cluster_patches(rows, settings)
    if denoise == "dice":
        clusters = drop_global_clusters(clusters, encoding.affinity.cpu())
    means = cluster_means(rows, clusters)
    if len(means):
        maps = region_maps(means, encoding.grid)
        labels = largest_at_pixels(maps, encoding.frame.labels).cpu().numpy()
    else:
        labels = np.full(encoding.frame.labels, -1, dtype=np.int32)
    return Regions(clusters.numpy(), labels)


def _given_features(
    features: Tensor | npt.NDArray[np.floating[Any]], names: Sequence[str] | None, width: int, device: torch.device
) -> tuple[Vocabulary, Tensor]:
    """Text features from outside, with a vocabulary that names their rows."""
    text = torch.as_tensor(features)
    names = tuple(names or ())
    usable = text.ndim == 2 and text.shape[1] == width and bool(torch.isfinite(text).all())
    if not (usable and 1 <= len(names) <= len(text)) or len(set(names)) != len(names):
        raise InputError(
            explain(
                "text_features",
                expected=f"finite rows of width {width} and at least one and at most as many distinct class_names",
                got=f"shape {tuple(text.shape)} and {len(names)} names",
                remedy="Give a name for each class; further rows are background words.",
            )
        )
    rest = tuple(f"background word {place + 1}" for place in range(len(text) - len(names)))
    words = Vocabulary(tuple(WordGroup(name, (name,)) for name in names), rest)
    return words, text.to(device, torch.float32)


def _placed(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Any:
    """The model itself where it already fits, else a copy: the caller's model is never changed."""
    reference = next(model.parameters())
    if reference.device == device and reference.dtype == dtype and not model.training:
        return model
    return copy.deepcopy(model).to(device=device, dtype=dtype).eval()


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            explain("device", expected="one that torch has here", got=repr(name), remedy='"cpu" works everywhere.')
        ) from error
    return device


def _fingerprint(model: nn.Module) -> str:
    """Short digest of the weights, so that encodings of different models never mix."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().flatten()[:1024].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start

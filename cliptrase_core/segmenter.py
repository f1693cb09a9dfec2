"""Pipeline: `encode` a picture once, `segment` it by any words, `inspect` its attention."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cliptrase_core.cancel import timed
from cliptrase_core.errors import InputError
from cliptrase_core.inspection.capture import AttentionMaps, Capture, capture
from cliptrase_core.inspection.scores import PatchScores, competing, missing_classes, notes_on, suggested
from cliptrase_core.io.geometry import Frame, Size, given_size
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, ImageInput
from cliptrase_core.methods.features import MethodFeatures, word_logits
from cliptrase_core.models import loading
from cliptrase_core.models.backbone import Backbone, check_backbone, image_tower
from cliptrase_core.models.checkpoint import fingerprint
from cliptrase_core.models.encoder import Encoder
from cliptrase_core.models.precision import PRECISIONS, device_by_name, resolve_precision, to_device
from cliptrase_core.models.running import Weights, as_loaded
from cliptrase_core.names import NANO
from cliptrase_core.options import SegmentArguments, SegmentOptions, read_segmentation, takes
from cliptrase_core.presets import ClusterSettings, PositionResize, Preset, preset_by_name, preset_of_encoding
from cliptrase_core.regions.cache import RegionCache
from cliptrase_core.regions.decode import label_pixels
from cliptrase_core.results import NOISE, ImageEncoding, Segmentation
from cliptrase_core.text.common_words import COMMON_WORDS
from cliptrase_core.text.encoder import TextEncoder
from cliptrase_core.text.vocabulary import Vocabulary
from cliptrase_core.text.words import TextFeatures, Words, read_words
from cliptrase_core.version import VERSION

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Segmenter:
    """CLIPtrase on one frozen CLIP model; stores no picture, so that threads and users can share one.

    Create one with `from_pretrained` or `from_open_clip`.
    """

    def __init__(self, loaded: loading.LoadedModel, *, precision: str = "fp32", device: str | None = None) -> None:
        """Check the model and place it on the requested device with the requested precision.

        Args:
            loaded: open_clip model with its tokenizer; never changed, copied if it must be moved or cast.
            precision: "fp32", "bf16", "fp16", "fp64" or "auto".
            device: torch device name; None leaves the model on its device.

        Raises:
            UnsupportedBackboneError: CLIPtrase cannot run on this model.
            InputError: unknown precision or device.
        """
        check_backbone(image_tower(loaded.model))  # before anything is copied
        target = next(loaded.model.parameters()).device if device is None else device_by_name(device)
        dtype = resolve_precision(precision, target)
        model = to_device(loaded.model, target, dtype)
        self.info = dataclasses.replace(loaded, model=model)
        self.precision = next(name for name, value in PRECISIONS.items() if value == dtype)
        self.device = target
        self.weights = Weights(model)
        self.backbone = Backbone(image_tower(model))
        self._text = TextEncoder(model, loaded.tokenizer)
        scale = float(loaded.model.get_parameter("logit_scale").detach().float().exp())  # bf16 would make 98.9 of 100
        self._features = MethodFeatures(self.backbone, loaded.mean, loaded.std, scale)
        # An encoding is valid only for the same weights, precision and device.
        self.model_id = f"{loaded.digest}-{self.precision}-{target}"
        self._regions = RegionCache()
        self._encoder = Encoder(self.backbone, self.info, self.model_id)

    def __repr__(self) -> str:
        weights = "" if self.info.name == NANO else f":{self.info.pretrained}"
        return f"<Segmenter: {self.info.name}{weights} on {self.device}, {self.precision}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a tokenizer and caches cannot be."""
        expected, remedy = "one loaded in each process", "Load it in each worker; threads can share one."
        raise InputError("segmenter", expected=expected, got="a pickle or copy of one", remedy=remedy)

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
            name: "nano" or an architecture of open_clip, such as "ViT-B-16" or, with its weights, "ViT-B-16:openai".
            pretrained: open_clip's tag of the weights, or the path of a file; None uses OpenAI's weights.
            device: torch device name; None uses a GPU if there is one.
            precision: "fp32", "bf16", "fp16", "fp64" or "auto".

        Raises:
            WeightsError: missing, damaged or mismatched weights.
            UnsupportedBackboneError: CLIPtrase cannot run on this architecture.
            InputError: unknown name, precision or device.
        """
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(loading.load(name, pretrained), precision=precision, device=device)

    @classmethod
    def from_open_clip(
        cls,
        model: nn.Module,
        tokenizer: Callable[..., Tensor] | None = None,
        *,
        device: str | None = None,
        precision: str | None = None,
    ) -> Segmenter:
        """Create a segmenter from an existing model, which is never modified.

        The model itself is used if it is in evaluation mode and fits device and precision, else a copy. After a change
        of its weights, create a new segmenter: this one refuses to run, or a copy silently keeps the old weights.

        Args:
            model: open_clip model.
            tokenizer: tokenizer of the model; None uses CLIP's tokenizer.
            device: torch device name; None leaves the model on its device.
            precision: as for `from_pretrained`; None keeps the dtype of the model.

        Raises:
            InputError: an unknown precision or device, or a model with hooks that would not be called.
            UnsupportedBackboneError: CLIPtrase cannot run on this model.
        """
        backbone = Backbone(image_tower(model))
        loaded = loading.describe(model, tokenizer, fingerprint=fingerprint(model))
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
        """Compute all features of a picture that do not depend on words.

        Args:
            image: a path, a PIL image or an array, as for `read_image`.
            preset: "auto" labels the whole picture at its own size; "paper-224" and "paper-336" reproduce the
                published script and label the centre crop.
            short_side: short side of the model input in pixels; None uses the preset's, and only "auto" accepts others.
            max_pixels: largest number of pixels. A larger picture is rejected before decoding; a larger JPEG is decoded
                at a reduced size, see `read_reduced`.

        Raises:
            InputError: an unusable picture, an unknown preset, or a short side that the preset does not accept.
        """
        return self.encode_batch([image], preset, short_side=short_side, max_pixels=max_pixels)[0]

    @as_loaded
    def encode_batch(
        self,
        images: Sequence[ImageInput],
        preset: str | Preset = "auto",
        *,
        short_side: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> list[ImageEncoding]:
        """Encode several pictures, as `encode` does; pictures with the same model frame share a forward pass."""
        return self._encoder.encode(images, preset_by_name(preset), short_side, max_pixels)

    @takes(SegmentOptions)
    @as_loaded
    def segment(
        self,
        encoding: ImageEncoding,
        vocabulary: Words | None = None,
        *,
        text_features: TextFeatures | None = None,
        class_names: Sequence[str] | None = None,
        size: Size | None = None,
        **options: Unpack[SegmentArguments],
    ) -> Segmentation:
        """Segment an encoded picture by words. The picture is not encoded again.

        Args:
            encoding: encoding from `encode` of the same segmenter.
            vocabulary: "cat, kitten; dog | background: wall, floor", a data set's name, a list such as
                ["cat, kitten", "dog"], names with their synonyms, or a parsed vocabulary.
            text_features: (P, D), instead of a vocabulary: skips the text tower; rows of unit length, used unchanged.
            class_names: with `text_features`: names of its first rows; further rows are background words.
            size: (H, W) of the labels of the same area, for instance the size on a screen; None uses that of the frame,
                `encoding.frame.labels`.
            options: fields of `SegmentOptions`: method, denoise, eps, ...; `method` may also be a `Method` of `METHODS`
                with other values, by `dataclasses.replace`.

        Raises:
            InputError: an encoding of another model, an unusable vocabulary, or an option out of range.
            TypeError: no such option.
        """
        requested, chosen = read_segmentation(options)
        vote = chosen.regions_vote if requested.vote is None else requested.vote
        preset = self._check_encoding(encoding)
        settings = self._cluster_settings(encoding, preset, requested)
        templates, size = requested.templates or preset.templates, given_size(size, encoding.frame.labels)
        timings = dict(encoding.timings)
        with torch.inference_mode():
            with timed(timings, "text"):
                words, text = self._text.read(vocabulary, text_features, class_names, templates, len(encoding.cls))
            with timed(timings, "features"):
                cls, patches = self._features.get(encoding, chosen, text, words.prompt_labels)
            with timed(timings, "cluster"):
                regions = (found := self._regions.get(encoding, settings, requested.denoise)).at(size)
            with timed(timings, "label"):
                missing = self._missing(encoding, words, text, templates) if requested.skip_missing else []
                logits = word_logits(self._features.scale(chosen), cls, patches, text, requested.image_prior)
                maps, label_of, names = competing(
                    logits.T.reshape(-1, *encoding.grid), words, missing, requested.everything_else
                )
                labels, confidence = label_pixels(maps, label_of, size, regions if vote else None)
                prior = cls @ text.to(cls).T if requested.image_prior else None
        regions = np.full(size, NOISE, np.int32) if regions is None else regions
        shown: dict[str, Any] = {"labels": labels, "regions": regions, "confidence": confidence}  # see `maps`
        return Segmentation(
            **shown,
            class_names=names,
            patch_clusters=found.patch_clusters,
            grid=encoding.grid,
            settings={
                **self._describe(encoding),
                "vocabulary": words.text,
                **requested.options,
                **({"method_changes": changes} if (changes := chosen.changes) else {}),
                "eps": float(settings.eps),
                "min_samples": int(settings.min_samples),
                "templates": templates if text_features is None else "given features",
                "vote": vote,
                "residual": chosen.residual,
                "threshold": 0.0,
                **({"missing": [words.class_names[label] for label in missing]} if requested.skip_missing else {}),
            },
            timings=timings,
            notes=notes_on(words, missing, requested.everything_else, prior),
            model_input=encoding.model_input,
            name=encoding.name,
        ).above(requested.threshold)

    @as_loaded
    def clusters(
        self, encoding: ImageEncoding, *, eps: float | None = None, min_samples: int | None = None, denoise: str = "cls"
    ) -> npt.NDArray[np.int64]:
        """Return (N,), the cluster of each patch as in `segment`, -1 = noise. Needs no words and labels no pixel.

        Arguments and errors as for `segment`.
        """
        requested = SegmentOptions(eps=eps, min_samples=min_samples, denoise=denoise)
        settings = self._cluster_settings(encoding, self._check_encoding(encoding), requested)
        with torch.inference_mode():
            return self._regions.get(encoding, settings, denoise).patch_clusters

    @takes(SegmentOptions)
    @as_loaded
    def scores(
        self,
        encoding: ImageEncoding,
        vocabulary: Words | None = None,
        *,
        text_features: TextFeatures | None = None,
        class_names: Sequence[str] | None = None,
        **options: Unpack[SegmentArguments],
    ) -> PatchScores:
        """Compute the score of each word at each patch, to explain the labels. Arguments and errors as for `segment`.

        Regions and the threshold come after scores: eps, min_samples, denoise, vote and threshold change nothing here.
        """
        preset, (requested, chosen) = self._check_encoding(encoding), read_segmentation(options)
        templates = requested.templates or preset.templates
        with torch.inference_mode():
            words, text = self._text.read(vocabulary, text_features, class_names, templates, len(encoding.cls))
            cls, patches = self._features.get(encoding, chosen, text, words.prompt_labels)
            scale = self._features.scale(chosen)
            logits = word_logits(scale, cls, patches, text, requested.image_prior)
            missing = self._missing(encoding, words, text, templates) if requested.skip_missing else []
        maps = logits.T.reshape(-1, *encoding.grid).float().cpu().clone()  # outside: a tensor that gradients may use
        return PatchScores(maps, scale, words, encoding.frame.labels, tuple(missing), requested.everything_else)

    @as_loaded
    def missing(self, encoding: ImageEncoding, vocabulary: Words, *, templates: str | None = None) -> list[str]:
        """Return the names of classes that the picture does not seem to show, as found by `skip_missing`.

        Arguments and errors as for `segment`.
        """
        preset, words = self._check_encoding(encoding), read_words(vocabulary, None)
        templates = SegmentOptions(templates=templates).templates or preset.templates
        with torch.inference_mode():
            found = self._missing(encoding, words, self._text.embed(words.prompts, templates), templates)
        return [words.class_names[label] for label in found]

    @as_loaded
    def suggest(self, encoding: ImageEncoding) -> dict[str, float]:
        """Suggest words for a picture: the common words that fit it, each with its share of the patches, largest first.

        They are guesses of the model, to begin with. Errors as for `segment`.
        """
        templates = self._check_encoding(encoding).templates
        with torch.inference_mode():
            found = suggested(encoding.patches.to(self.device), self._text.embed(COMMON_WORDS, templates))
        return {COMMON_WORDS[word]: share for word, share in found}

    @as_loaded
    def embed_words(self, words: Sequence[str], templates: str | None = None) -> Tensor:
        """Return (P, D) unit vectors of words; the vectors are cached. Templates None are "simple7", as of "auto".

        Raises:
            InputError: no words, an empty one, unknown templates, or a word too long for the model's context.
        """
        return self._text.embed(words, templates)

    @as_loaded
    def unknown_words(self, words: Sequence[str]) -> list[str]:
        """Return the words that the model has never seen, in whole or in part; their scores mean nothing."""
        return self._text.unknown(words)

    def view(
        self, image: ImageInput, preset: str = "auto", *, short_side: int | None = None
    ) -> tuple[npt.NDArray[np.uint8], Frame]:
        """Return the model input of a picture before normalisation; does not run the model.

        Arguments and errors as for `encode`.

        Returns:
            (H, W, 3) uint8 in the model frame, and the layout of the picture.
        """
        return self._encoder.view(image, preset_by_name(preset), short_side, DEFAULT_MAX_PIXELS)

    def capture(
        self,
        image: ImageInput | ImageEncoding,
        preset: str = "auto",
        *,
        short_side: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Capture:
        """Run one forward pass for the maps of every layer, head and patch; they differ by about 1e-3 from exact ones.

        Arguments and errors as for `encode`; or only an encoding of this segmenter, whose picture is not read again.
        """
        return self._captured(image, preset, short_side, max_pixels, torch.float16)

    @as_loaded
    def _captured(
        self, image: ImageInput | ImageEncoding, preset: str, short_side: int | None, max_pixels: int,
        kept_as: torch.dtype,
    ) -> Capture:  # fmt: skip
        plan = preset_by_name(preset)
        if isinstance(image, ImageEncoding):
            own = self._check_encoding(image)
            plan = own if preset == "auto" else plan
        pixels, frame = self._encoder.prepare(image, plan, short_side, max_pixels)
        return dataclasses.replace(self._capture(pixels, frame, plan.positions, kept_as), model=self.info.name)

    def _capture(
        self, pixels: Tensor, frame: Frame, positions: PositionResize, kept_as: torch.dtype = torch.float16
    ) -> Capture:
        """Run the forward pass of `capture`; a subclass may run it elsewhere."""
        return capture(self.backbone, pixels, frame, positions, kept_as)

    def inspect(
        self,
        image: ImageInput | ImageEncoding,
        layer: int | None = None,
        *,
        head: int | None = None,
        preset: str = "auto",
        short_side: int | None = None,
    ) -> AttentionMaps:
        """Compute the exact maps of one layer of one picture; for several layers, use `capture`.

        Args:
            image: as for `capture`.
            layer: block, counted from 1; None selects the last but one.
            head: head, counted from 1; None selects the mean of all heads.
            preset: as for `encode`.
            short_side: as for `encode`.
        """
        return self._captured(image, preset, short_side, DEFAULT_MAX_PIXELS, torch.float32).maps(layer, head)

    def default_clustering(self, patches: int) -> ClusterSettings:
        """Return the `auto` settings of N >= 1 patches: eps grows with sqrt(N), min_samples with N."""
        return self.info.clustering.at(patches)

    def _missing(self, encoding: ImageEncoding, words: Vocabulary, text: Tensor, templates: str) -> list[int]:
        common = self._text.embed(COMMON_WORDS, templates)
        return missing_classes(
            encoding.patches.to(self.device), text, torch.tensor(words.prompt_labels), len(words.classes), common
        )

    def _cluster_settings(self, encoding: ImageEncoding, preset: Preset, requested: SegmentOptions) -> ClusterSettings:
        base = preset.clustering or self.default_clustering(len(encoding.patches))
        return ClusterSettings(
            base.eps if requested.eps is None else requested.eps,
            base.min_samples if requested.min_samples is None else requested.min_samples,
        )

    def _check_encoding(self, encoding: ImageEncoding) -> Preset:
        given = encoding.model_id if isinstance(encoding, ImageEncoding) else type(encoding).__name__
        if given != self.model_id:
            expected = f"one made by this model ({self.model_id})"
            remedy = "Encode the picture with this segmenter first."
            raise InputError("encoding", expected=expected, got=str(given), remedy=remedy)
        return preset_of_encoding(encoding.preset)

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


def try_out(
    segmenter: Segmenter, vocabulary: str | Vocabulary, preset: str, short_side: int | None, **settings: Any
) -> None:
    """Lay out and segment an empty picture, to check the options; the embedded words stay cached.

    Arguments as for `Segmenter.encode` and, in `settings`, `segment`.

    Raises:
        CliptraseError: an option that would fail on every picture.
    """
    blank = np.zeros((64, 64, 3), np.uint8)  # a few patches, a hundredth of a second
    segmenter.view(blank, preset, short_side=short_side)
    settings["templates"] = settings.get("templates") or preset_by_name(preset).templates
    segmenter.segment(segmenter.encode(blank, short_side=64), vocabulary, **settings)

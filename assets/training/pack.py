"""Write trained weights in the format of the repository: 8 bits per weight, one fp16 scale per row.

python -m assets.training.pack --image visual.pt | --text text.pt --words words.pt | --sam sam.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from assets.training.tower import read_visual
from cliptrase_core.io.files import sha256
from cliptrase_core.models.embedded import EMBEDDING, ROWS
from cliptrase_core.models.storage import pack

ASSETS = Path(__file__).resolve().parents[1]


def packed_text(state: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Return the text tower in 8 bits, with only the token rows `rows`."""
    state = {name: value for name, value in state.items() if name != "attn_mask"}  # open_clip computes it
    state[EMBEDDING] = state[EMBEDDING][rows]
    return {**pack(state), ROWS: rows.to(torch.int32)}


def write_sums(folder: Path) -> None:
    """Write the checksums of a model's files. `sha256sum -c sha256.txt` then detects a damaged copy."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("config.json")])
    lines = [f"{sha256(file)}  {file.name}\n" for file in files]
    (folder / "sha256.txt").write_text("".join(lines), encoding="ascii")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--image", type=Path, help="what image.py wrote")
    parser.add_argument("--text", type=Path, help="what text.py wrote")
    parser.add_argument("--words", type=Path, help="what words.py wrote")
    parser.add_argument("--sam", type=Path, help="what sam.py wrote")
    parser.add_argument("--output", type=Path, default=ASSETS, help="folder that holds nano/ and sam-nano/")
    arguments = parser.parse_args()
    if arguments.text and not arguments.words:
        parser.error("expected --words with --text, got none")
    for name in ("nano", "sam-nano"):
        (arguments.output / name).mkdir(parents=True, exist_ok=True)
    if arguments.image:
        state = {f"visual.{name}": value for name, value in read_visual(arguments.image).items()}
        (arguments.output / "nano" / "image.safetensors").write_bytes(save(pack(state)))
    if arguments.text:
        state = torch.load(arguments.text, map_location="cpu", weights_only=True)
        state["logit_scale"] = state["logit_scale"].clamp(max=4.6052)  # CLIP's own ceiling, ln 100
        rows = torch.load(arguments.words, weights_only=True)["rows"]
        (arguments.output / "nano" / "text.safetensors").write_bytes(save(packed_text(state, rows)))
    if arguments.sam:
        state = torch.load(arguments.sam, map_location="cpu", weights_only=True)
        (arguments.output / "sam-nano" / "model.safetensors").write_bytes(save(pack(state)))
    for name in ("nano", "sam-nano"):
        write_sums(arguments.output / name)


if __name__ == "__main__":
    main()

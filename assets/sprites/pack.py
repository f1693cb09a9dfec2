"""Write the cut-outs of the scene benchmark: the held-out style, cropped, as `openmoji.npz`.

python assets/sprites/pack.py --sprites sprites.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from restyle import fit

HELD_OUT = "openmoji"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sprites", type=Path, required=True, help="what render.py wrote")
    arguments = parser.parse_args()
    with np.load(arguments.sprites) as drawn:
        chosen = drawn["styles"] == drawn["style_names"].tolist().index(HELD_OUT)
        pixels = np.stack([fit(one) for one in drawn["pixels"][chosen]])
        labels, names = drawn["labels"][chosen], drawn["label_names"]
    pixels[pixels[..., 3] == 0] = 0
    np.savez_compressed(Path(__file__).with_name(f"{HELD_OUT}.npz"), pixels=pixels, labels=labels, names=names)


if __name__ == "__main__":
    main()

"""A small result, shared by the tests of drawings."""

import numpy as np

from cliptrase_core.results import Segmentation


def result_4x4():
    labels = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 2], [0, 0, 2, 2]], dtype=np.int32)
    confidence = np.where(labels == 0, 0.5, np.where(labels == 1, 0.25, 1.0)).astype(np.float32)
    return Segmentation(
        labels=labels,
        regions=np.full((4, 4), -1, np.int32),
        confidence=confidence,
        class_names=("cat", "dog", "background", "cow"),
        patch_clusters=np.full(4, -1),
        grid=(2, 2),
        settings={},
        timings={},
    )

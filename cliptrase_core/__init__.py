"""CLIPtrase (ECCV 2024, arXiv 2407.08268) as a small library.

Letters used in every file: B batch, C classes, P prompts, D embedding width, L layers, H W pixels,
h w patch grid, N = h*w patches, K clusters. Sizes are always (height, width).
"""

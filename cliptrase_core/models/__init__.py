"""From a model's name to a vision transformer that runs: weights, architecture, blocks, pixels in, features out."""

"""Models: loading of weights, construction of architectures, and the vision transformer from pixels to features."""

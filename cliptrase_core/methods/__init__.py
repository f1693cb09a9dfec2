"""The segmentation methods: a registry (data), and the patch features that an entry describes."""

"""Composed scenes with exact masks: drawn objects on procedural ground, for training and for the scene benchmark."""

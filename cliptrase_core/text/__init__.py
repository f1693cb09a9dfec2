"""Parsing of words into classes, and encoding of classes as vectors."""

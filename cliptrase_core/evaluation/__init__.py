"""Benchmarks: read data sets, segment every picture, compute metrics, write a report."""

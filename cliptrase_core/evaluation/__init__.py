"""Benchmarks: read data sets, segment every picture, compute metrics, write a report.

Arrows point downward: command -> run -> {distribution, ledger, batches, predictors, report, sheets} -> sources ->
{settings, readers, layouts, numbers}.
"""

"""Whole data sets: read them from their usual folders, label every picture, count, report.

Arrows point downward: command -> run -> {distribution, ledger, batches, predictors, report, sheets} -> sources ->
{settings, layouts, numbers}.
"""

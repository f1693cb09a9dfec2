"""Benchmarks: read data sets, segment every picture, compute metrics, write a report.

Imports go from left to right only: command -> run -> {distribution, ledger, batches, predictors, report, sheets} ->
sources -> {settings, readers, layouts, numbers}.
"""

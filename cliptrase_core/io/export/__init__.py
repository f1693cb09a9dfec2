"""Export of results to files for other programs (`formats.py` lists the formats), and loading of saved results."""

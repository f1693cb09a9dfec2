"""Training of the embedded models: what it reads, what teaches, how it is measured. Nothing of it is used at run time."""

"""Training of the embedded models: what it reads, what teaches, how it is measured. The program uses none of it."""

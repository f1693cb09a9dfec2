"""The parts of the page: which components each has, where they stand, and which handler each event calls."""

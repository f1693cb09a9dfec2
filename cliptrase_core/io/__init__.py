"""Pictures and masks in, frames of pixels, files that are written whole or not at all, results out."""

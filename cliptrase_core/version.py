"""Version of the package, in a separate file so that packaging reads it without importing torch."""

VERSION = "0.1.0"

"""Words to classes, and classes to vectors."""

"""From what a person types to classes, and from classes to vectors."""

"""Which models run, and what is known about them. Imports no Gradio, and the core only inside functions."""

from demo.models.facts import ModelFacts, Offered, offered
from demo.models.keys import NANO, key_of, read_key, split_key
from demo.models.registry import ModelRegistry, Status

__all__ = ["NANO", "ModelFacts", "ModelRegistry", "Offered", "Status", "key_of", "offered", "read_key", "split_key"]

"""Which models run, and what is known about them. Imports no Gradio, and the core only inside functions."""

from demo.models.facts import ModelFacts, Offered, offered
from demo.models.holder import ModelHolder, Status
from demo.models.keys import NANO, key_of, read_key, split_key

__all__ = ["NANO", "ModelFacts", "ModelHolder", "Offered", "Status", "key_of", "offered", "read_key", "split_key"]

"""Schema of the public API; `python -m tests.api_schema` writes it to `tests/data/api.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from demo.page import build
from demo.service import Service
from demo.settings import Settings

SNAPSHOT = Path(__file__).parent / "data" / "api.json"


def schema() -> dict[str, Any]:
    """Return description, parameters (types, defaults) and results of each endpoint, as clients get them."""
    calls = build(Service(Settings(model="nano"))).get_api_info()["named_endpoints"]
    return {name: _plain(call) for name, call in calls.items()}


def _plain(call: Any) -> dict[str, Any]:
    return {
        "description": call["description"],
        "parameters": {
            one["parameter_name"]: {
                "type": one["python_type"]["type"],
                "description": one["python_type"]["description"],
                **({"default": one["parameter_default"]} if one["parameter_has_default"] else {}),
            }
            for one in call["parameters"]
        },
        "returns": [
            {"type": one["python_type"]["type"], "description": one["python_type"]["description"]}
            for one in call["returns"]
        ],
    }


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Replacement of a browser: one session that uploads, presses buttons, clicks, and reads the queue."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

API = "/gradio_api"


@dataclass(frozen=True)
class Answer:
    """Messages of the queue about one event, in order."""

    messages: list[dict[str, Any]]

    @property
    def succeeded(self) -> bool:
        """True if the event ended without an error."""
        return bool(self.messages) and bool(self.messages[-1].get("success"))

    @property
    def data(self) -> list[Any]:
        """New values, one for each output; empty after an error."""
        return (self.messages[-1]["output"].get("data") or []) if self.succeeded else []

    @property
    def error(self) -> str | None:
        """Error message for the user; None without an error."""
        return None if self.succeeded else self.messages[-1]["output"].get("error")

    @property
    def places(self) -> list[int]:
        """Reported places in the queue; 0 is next."""
        return [message["rank"] for message in self.messages if message["msg"] == "estimation"]


def as_file(path: str, name: str = "picture.png") -> dict[str, Any]:
    """Return the entry for an uploaded file in a message."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def call(address: str, name: str, **arguments: Any) -> Any:
    """Call a public endpoint with named arguments, like curl. Return its result; raise its error as RuntimeError."""
    with httpx.Client(base_url=address, timeout=120) as http:
        joined = http.post(f"{API}/call/v2/{name}", json=arguments)
        joined.raise_for_status()
        text = http.get(f"{API}/call/{name}/{joined.json()['event_id']}").text
    kind, _, data = text.strip().rpartition("event: ")[2].partition("\ndata: ")
    if kind != "complete":
        raise RuntimeError(data)
    return json.loads(data)[0]


class Visitor:
    """One browser tab of one user."""

    def __init__(self, address: str, **client: Any) -> None:
        """Open the page; `client` are further arguments of `httpx.Client`."""
        # No reuse of connections: the server may close one just before it is used again.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=address, timeout=120, limits=fresh, **client)
        self.session = secrets.token_hex(8)
        self.config = self.http.get("/config").json()
        self._parts = {part["id"]: part for part in self.config["components"]}
        self._told: dict[int, Any] = {}
        self._asked: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """Close the session."""
        self.http.close()

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Upload a file and return its entry for messages."""
        with path.open("rb") as file:
            answer = self.http.post(f"{API}/upload", files={"files": (name or path.name, file)})
        answer.raise_for_status()
        return as_file(answer.json()[0], name or path.name)

    def event(self, element: str, kind: str) -> dict[str, Any]:
        """Return the configuration of the server's listener for an event of an element."""
        for listener in self.config["dependencies"]:
            if listener["backend_fn"] and any(
                kind == on and self._name(part) == element for part, on in listener["targets"]
            ):
                return listener
        raise LookupError(f"nothing listens to {kind} of {element}")

    def do(self, element: str, kind: str = "click", *, at: Any = None, **changed: Any) -> Answer:
        """Trigger an event of an element, with all values that the page would send, and wait for the answer.

        Args:
            element: `elem_id` of the element, else its label.
            kind: kind of event.
            at: index in the event data, for a click on a picture.
            changed: new values of other elements, also used for later events.
        """
        self.set(**changed)
        listener = self.event(element, kind)
        return self.send(listener["id"], self.data(listener), None if at is None else {"index": at, "value": None})

    def data(self, listener: dict[str, Any]) -> list[Any]:
        """Return the current values that the page would send to a listener."""
        return [self._value(part) for part in listener["inputs"]]

    def set(self, **changed: Any) -> None:
        """Set values of elements, like typing."""
        for name, value in changed.items():
            self._told[next(i for i in self._parts if self._name(i) == name)] = value

    def send(self, listener: int, data: list[Any], event_data: Any = None) -> Answer:
        """Send any data to a listener by its number and wait for the answer."""
        return self.wait(self.join(listener, data, event_data))

    def join(self, listener: int, data: list[Any], event_data: Any = None) -> str:
        """Join the queue without waiting; return the event id."""
        body = {"fn_index": listener, "data": data, "event_data": event_data, "session_hash": self.session}
        answer = self.http.post(f"{API}/queue/join", json=body)
        answer.raise_for_status()
        event = answer.json()["event_id"]
        self._asked[event] = next(one for one in self.config["dependencies"] if one["id"] == listener)
        return event

    def wait(self, event: str) -> Answer:
        """Read messages of the queue until the answer to an event; store its new values."""
        seen = []
        for message in self.messages():
            if message.get("event_id") == event:
                seen.append(message)
            if message["msg"] == "process_completed" and message["event_id"] == event:
                break
        answer = Answer(seen)
        for part, value in zip(self._asked.pop(event)["outputs"], answer.data, strict=False):
            if not (isinstance(value, dict) and value.get("__type__") == "update"):
                self._told[part] = value
            elif "value" in value:
                self._told[part] = value["value"]
        return answer

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of the queue to this session as they arrive."""
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def segment(self, **changed: Any) -> str | None:
        """Press Segment. Return None if there is a new result, else the message of the page."""
        answer = self.do("segment", **changed)
        status = self.shown("status") if answer.succeeded else ""
        return answer.error or (status if "strip bad" in status else None)

    def shown(self, name: str) -> Any:
        """Return the current value of an element."""
        return next(value for part, value in self._told.items() if self._name(part) == name)

    def _value(self, part: int) -> Any:
        return self._told.get(part, self._parts[part]["props"].get("value"))

    def _name(self, part: int) -> str:
        props = self._parts.get(part, {}).get("props", {})
        return props.get("elem_id") or props.get("label") or ""


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until a condition is true; fail if it is not within the time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

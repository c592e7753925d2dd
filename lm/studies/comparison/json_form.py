"""The form of figures in report.json: dataclasses and named tuples as objects, paths as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

LEFT_OUT: Mapping[str, bool] = {"left out": True}
"""A field's metadata: a None value is left out instead of written as null."""
IN_PLACE: Mapping[str, bool] = {"left out": True, "in place": True}
"""A field's metadata: the keys of its value are added to the parent object, without a key of its own."""


def json_form(value: object) -> object:
    """Figures as dictionaries, lists, text and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, object] = {}
        for field in fields(value):
            part = json_form(getattr(value, field.name))
            if part is None and field.metadata.get("left out"):
                continue
            found |= part if isinstance(part, dict) and field.metadata.get("in place") else {field.name: part}
        return found
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return json_form(value._asdict())
    if isinstance(value, dict):
        return {key: json_form(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_form(item) for item in value]
    return str(value) if isinstance(value, Path) else value

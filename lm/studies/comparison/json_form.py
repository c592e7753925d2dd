"""Converts results to the form of report.json: dataclasses and named tuples become objects, paths become text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

LEFT_OUT: Mapping[str, bool] = {"left out": True}
"""Metadata for a dataclass field: in JSON a None value is left out instead of written as null."""
IN_PLACE: Mapping[str, bool] = {"left out": True, "in place": True}
"""Metadata for a dataclass field: in JSON the keys of its value are added to the parent object."""


def json_form(value: object) -> object:
    """Convert results to dictionaries, lists, text and numbers, which JSON can hold."""
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

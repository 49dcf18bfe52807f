"""Schemas of other people's tools as signatures."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sport.tools.base import Tool
from sport.tools.cards import input_schema
from sport.tools.parameters import shaped
from sport.tools.schema import parameters


def signature(schema: dict[str, Any], paths: bool = True) -> str:
    found, _ = parameters(schema, paths)
    return str(Tool(shaped(lambda **_: None, "f", found, Any)).signature)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"type": "string"}, "str"),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]},
         "str | list[float]"),
        ({"enum": ["a", "b"]}, "Literal['a', 'b']"),
        ({"enum": [f"choice {n}" for n in range(1000)], "type": "string"}, "str"),
        ({"type": "object", "properties": {"x": {"type": "integer"}}}, "dict[str, Any]"),
        ({"const": 3}, "Any"),
        (True, "Any"),
        ({"$ref": "#/$defs/nowhere"}, "Any"),
        ({"type": "string", "format": "data-uri"}, "str"),
    ],
)  # fmt: skip
def test_types(spec: Any, text: str) -> None:
    assert signature(of(x=spec)) == f"f(x: {text}) -> Any"


def test_a_long_default_is_not_shown() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "default": "y" * 1000}}}
    assert signature(schema) == "f(x: str = …) -> Any"


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("path", True), ("image_path", True), ("input-file", True), ("files", True),
     ("profile", False), ("pathology", False), ("text", False)],
)  # fmt: skip
def test_which_texts_are_files(name: str, is_file: bool) -> None:
    for paths in (True, False):
        found, _ = parameters(of(**{name: {"type": "string"}}), paths)
        [parameter] = Tool(shaped(lambda **_: None, "f", found, Any)).parameters
        assert parameter.is_file == (is_file and paths)


def test_bytes_are_files_wherever_the_server_is() -> None:
    found, _ = parameters(of(data={"type": "string", "contentEncoding": "base64"}), paths=False)
    assert found[0].annotation is Path


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string"}, "none of an object"),
        ({"type": "object", "properties": ["x"]}, "none of an object"),
        ({"type": "object", "properties": {}, "required": ["x"]}, "does not describe"),
        (of(**{"a-b": {}, "a_b": {}}), "have one Python name"),
        (of(**{"x" * 200: {}}), "more than 100 characters"),
        (of(**{f"x{n}": {} for n in range(101)}), "more than 100 arguments"),
        ({**of(x={"$ref": "#/$defs/d"}), "$defs": {"d": {"anyOf": [{"$ref": "#/$defs/d"}] * 30}}},
         "more than 1000 parts"),
    ],
)  # fmt: skip
def test_schemas_that_cannot_be_used(schema: dict[str, Any], message: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=message):
        parameters(schema, paths=True)
    assert time.monotonic() - began < 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "items", "anyOf", "enum", "$ref", "format", "default"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), anything, max_size=4), anything)
def test_any_schema_is_a_signature_or_one_error(properties: dict[str, Any], required: Any) -> None:
    schema = {"type": "object", "properties": properties, "required": required}
    try:
        found, names = parameters(schema, paths=True)
    except (ValueError, TypeError):
        return
    tool = Tool(shaped(lambda **_: None, "f", found, Any))
    assert set(names.values()) == set(properties)
    assert all(isinstance(p, inspect.Parameter) for p in found)
    assert input_schema(tool)["type"] == "object"

"""A key with null counts as absent: serializers in many languages write every key, also unset ones."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


def without_nulls(value: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The object without the keys of the model that are null, at every depth.

    A required key that is null becomes a missing one. A key that the model does not know stays, so that it is
    refused by name. What belongs to the producer alone (metadata) stays as it is.
    """
    kept = {}
    for key, item in value.items():
        if key not in model.model_fields:
            kept[key] = item
        elif item is not None:
            inner = _models(model).get(key)
            kept[key] = _inside(item, inner) if inner else item
    return kept


def _inside(item: Any, model: type[BaseModel]) -> Any:
    if isinstance(item, dict):
        return without_nulls(item, model)
    if isinstance(item, list):
        return [_inside(one, model) for one in item]
    return item


@cache
def _models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The keys that hold objects of the contract, or lists of them."""
    found = {name: next(_nested(field.annotation), None) for name, field in model.model_fields.items()}
    return {name: inner for name, inner in found.items() if inner is not None}


def _nested(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _nested(part)


class NullMeansAbsent(BaseModel):
    """An object of a contract, whose JSON Schema allows null for the keys where `without_nulls` drops it."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """See `pydantic.BaseModel`."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name, value in schema.get("properties", {}).items():
            if name not in schema.get("required", ()):
                schema["properties"][name] = _or_null(value)
        return reference


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema that allows null, too; its default and description stay on the outside."""
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    outer: dict[str, Any] = {key: schema[key] for key in ("default", "description", "title") if key in schema}
    inner = {key: item for key, item in schema.items() if key not in outer}
    return {"anyOf": [inner, {"type": "null"}], **outer}


class Strict(NullMeansAbsent):
    """Base of the contract's objects: no key that is not known, no number in the place of a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

"""What recipe files may hold, as pydantic models and as a JSON schema for editors."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from ip2p_cli.io.templates import Scalar
from ip2p_cli.io.yaml_files import StrictModel
from ip2p_cli.types import EditSettings, Guard, Handoff, MaskSteps

Name = Annotated[str, Field(min_length=1, max_length=80)]


class VariableFields(StrictModel):
    """A variable of a recipe, where more than its value is given."""

    default: Scalar
    description: str = ""


class HeadFields(StrictModel):
    """A recipe file without its edits and defaults."""

    name: Name
    description: Annotated[str, Field(max_length=1000)] = ""
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")], VariableFields | Scalar] = Field(
        default_factory=dict
    )
    include: str | tuple[str, ...] = ()
    handoff: Handoff | None = None
    guard: Guard | None = None


class EditFields(StrictModel):
    """An edit without its settings. best_of: how many seeds it tries. save: whether its picture is written."""

    instruction: Annotated[str, Field(min_length=1, max_length=1000)]
    name: Name | None = None
    model: Annotated[str, Field(min_length=1)] | None = None
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    best_of: Annotated[int, Field(ge=1, le=64)] = 1
    save: bool = True


def _masks() -> dict[str, Any]:
    length = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[+-]?[0-9.]+ *(px|%)?$"}]}
    box = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}
    boxes = {"type": "array", "items": box}
    return {
        "mask": {"type": "string", "minLength": 1},
        "box": {"anyOf": [*box["anyOf"], boxes]},
        "region": {"type": "string", "minLength": 1},
        "region_model": {"type": "string", "minLength": 1},
        "auto_mask": {"type": "boolean"},
        "invert_mask": {"type": "boolean"},
        "grow": length,
        "feather": length,
        "mask_steps": {"enum": list(get_args(MaskSteps))},
    }


def recipe_schema() -> dict[str, Any]:
    """Make a JSON schema (draft 2020-12) for editors. Where a number may stand, so may a text with variables."""
    settings = TypeAdapter(EditSettings).json_schema()["properties"]
    head, edit = HeadFields.model_json_schema(), EditFields.model_json_schema()
    edit["properties"] |= settings | _masks()
    template = {"type": "string", "pattern": r"\{\{"}
    for properties in (edit["properties"], settings):
        for name, schema in properties.items():
            properties[name] = {"anyOf": [{k: v for k, v in schema.items() if k != "default"}, template]}
    item = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Edit"}, {"$ref": "#/$defs/Items"}]}
    defaults = {**settings, "model": {"type": "string"}}
    head["$defs"] = {
        **head.get("$defs", {}),
        "Edit": edit,
        "Items": {"type": "array", "minItems": 1, "items": item},
    }
    head["properties"] |= {
        "defaults": {"type": "object", "properties": defaults, "additionalProperties": False},
        "edits": {"$ref": "#/$defs/Items"},
    }
    head |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ip2p chain recipe"}
    head["description"] = "Edits that follow each other: ip2p chain in.jpg recipe.yaml"
    return head

"""The study file as a JSON schema, for editors: completion, descriptions and typos while you type.

It is stricter than nothing and laxer than ``flopwise check``: what depends on several keys at once, or on
the values of expressions, only the check knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from flopwise import registry
from flopwise.study.fields import PARAMETER_KEY
from flopwise.study.names import leaves
from flopwise.study.schema import ExecutionSection, SearchSection, StudyFile
from flopwise.target import SECONDS_TO_TARGET

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STANDARD = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "max_length": "maxItems",
}
"""Limits that pydantic leaves under its own name behind a validator."""
_NAMED = ("properties", "$defs", "patternProperties")
"""Where keys are names and no keywords."""


def json_schema() -> dict[str, Any]:
    """The schema, with every registered workload, searcher, executor and policy that loads here."""
    schema = _standard(StudyFile.model_json_schema())
    properties, definitions = schema["properties"], schema["$defs"]
    properties["workload"]["enum"] = registry.names("workloads")
    properties["space"]["propertyNames"] = {"pattern": f"^{PARAMETER_KEY.pattern}$"}
    definitions["ExecutionSection"]["properties"]["executor"]["enum"] = registry.names("executors")
    definitions["ExecutionSection"]["allOf"] = _executors(definitions)
    definitions["SearchSection"] = _search(definitions["SearchSection"], definitions)
    properties["policies"] = _policies(properties["policies"], definitions)
    for name, declared in StudyFile.model_fields.items():
        if not declared.is_required():
            properties[name] = _or_null(properties[name])
    schema["allOf"] = [_workload(name, definitions) for name in registry.names("workloads")]
    return {"$schema": DIALECT, **schema, "title": "flopwise study"}


def _search(section: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """``search``: each method with its own options beside the keys that all have."""
    names = registry.names("searchers")
    own = section["properties"]
    own["method"]["enum"] = names
    default = SearchSection.model_fields["method"].default
    methods = []
    for name in names:
        options = _member_options("searchers", name, definitions)
        if options is not None:
            given = {"properties": {"method": {"const": name}}, **({} if name == default else {"required": ["method"]})}
            allowed = {**options, "properties": {**own, **options.get("properties", {})}}
            methods.append({"if": given, "then": allowed})
    return {**section, "allOf": methods}


def _executors(definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """``execution.options``: what each executor takes; most take none."""
    default, found = ExecutionSection.model_fields["executor"].default, []
    for name in registry.names("executors"):
        given = {"properties": {"executor": {"const": name}}, **({} if name == default else {"required": ["executor"]})}
        options = _member_options("executors", name, definitions)
        allowed = options if options is not None else {"maxProperties": 0}
        found.append({"if": given, "then": {"properties": {"options": allowed}}})
    return found


def _policies(section: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for name in registry.names("policies"):
        options = _member_options("policies", name, definitions)
        properties[name] = {"anyOf": [{"type": ["boolean", "null"]}, options if options is not None else {}]}
    return {**section, "properties": properties, "additionalProperties": False}


def _workload(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """What the choice of a workload says about the rest of the file."""
    given = {"properties": {"workload": {"const": name}}, "required": ["workload"]}
    try:
        spec = registry.load("workloads", name)
    except (ImportError, AttributeError):
        return {"if": given}
    found: dict[str, Any] = {}
    if spec.config_model is not None:
        found["base"] = _or_null(_model_schema(spec.config_model, f"{name}.", definitions))
        keys = _keys(spec.config_model)
        if keys:
            varying = [key for key in keys if key.partition(".")[0] not in spec.prepared]
            found["space"] = {"propertyNames": {"enum": varying}}
            found["derived"] = {"propertyNames": {"enum": keys}}
    if spec.metrics:
        found["objective"] = {"properties": {"metric": {"enum": [*spec.metrics, SECONDS_TO_TARGET]}}}
    required = {"required": ["evaluation"]} if spec.needs_stop else {}
    return {"if": given, "then": {"properties": found, **required}}


def _keys(model: type[BaseModel]) -> list[str]:
    """Every key of a config whose keys are always the same; none where they depend on what is given."""
    try:
        config = model.model_validate({}).model_dump(mode="json")
    except ValidationError:
        return []
    return [] if _has_mapping(config) else list(leaves(config))


def _has_mapping(nested: Mapping[str, Any]) -> bool:
    """Whether an empty mapping, whose keys are up to the user, lies inside."""
    inner = [value for value in nested.values() if isinstance(value, Mapping)]
    return any(not value or _has_mapping(value) for value in inner)


def _member_options(family: str, name: str, definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a member's options; None when it has none, or does not load here."""
    try:
        member = registry.load(family, name)
    except (ImportError, AttributeError):
        return None
    if not hasattr(member, "Options"):
        return None
    return _model_schema(member.Options, f"{family}.{name}.", definitions)


def _model_schema(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A model's schema; what it refers to is added to the definitions under a prefix."""
    schema: dict[str, Any] = _standard(model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}"))
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{prefix}{inner}"] = definition
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A section that may be left empty."""
    return {"anyOf": [schema, {"type": "null"}], **{key: schema[key] for key in ("description",) if key in schema}}


def _standard(node: Any, names: bool = False) -> Any:
    """Limits under their standard names, at any depth; ``names`` where keys are names and no keywords."""
    if isinstance(node, Mapping):
        return {
            key if names else _STANDARD.get(key, key): _standard(value, not names and key in _NAMED)
            for key, value in node.items()
            if names or key != "discriminator"
        }
    return [_standard(item) for item in node] if isinstance(node, list) else node

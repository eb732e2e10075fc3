"""A JSON schema as a grammar: what a backbone writes under it parses, and fits the schema.

llama-cpp-python's converter writes the grammar. What it would misread or ignore is rewritten or refused here first, and
sizes are capped before any work. Without `strict` a keyword that the grammar cannot enforce (a bound of a number, say)
is left out, as OpenAI does for schemas that are not strict; with it, it is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llama_cpp.llama_grammar import SchemaConverter

from glasses.backbone import number_grammar, pattern_grammar
from glasses.backbone.pattern_grammar import MAX_REPEATS
from glasses.errors import InputError, Reason

MAX_SCHEMA_BYTES = 64 << 10
MAX_DEPTH = 16
MAX_NODES = 1000  # schemas within the schema
ANY_OBJECT: dict[str, Any] = {"type": "object"}

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_NOTES = frozenset(  # say nothing about what is valid, or nothing that a grammar that lists every property needs
    {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "nullable",
     "$schema", "$id", "$comment", "$anchor", "discriminator", "contentMediaType", "contentEncoding", "strict"}
)  # fmt: skip
_READ = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf",
     "oneOf", "allOf", "$ref", "$defs", "definitions", "minItems", "maxItems", "minLength", "maxLength", "pattern",
     "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)  # fmt: skip
_FORMATS = frozenset({"date", "time", "date-time", "uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5"})
# Of the converter's rules, those that let a raw line break or quote into a string, with what JSON takes.
_IN_TEXT = r"\"\\\x7F\x00-\x1F"
_EXACTLY = {r'char ::= [^"\\] |': f"char ::= [^{_IN_TEXT}] |", r"dot ::= [^\x0A\x0D]": f"dot ::= [^{_IN_TEXT}]"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def gbnf(schema: dict[str, Any] | str, *, strict: bool = False, where: str = "schema") -> str:
    """The grammar of JSON that fits `schema` (an object, or its JSON text), with the rule `root`.

    Raises InputError: TOO_LARGE over the caps, BAD_INPUT for what is no schema or cannot be enforced; both name the
    place, which begins with `where`.
    """
    try:
        text = schema if isinstance(schema, str) else json.dumps(schema)
    except RecursionError as error:
        raise InputError(Reason.TOO_LARGE, f"{where}: nested too deeply") from error
    if len(text) > MAX_SCHEMA_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{where} has {len(text)} bytes; at most {MAX_SCHEMA_BYTES} are used")
    return _converted(text, strict, where)


@lru_cache(maxsize=64)
def _converted(text: str, strict: bool, where: str) -> str:
    schema = json.loads(text)
    rewriter = _Rewriter(schema, strict)
    root = rewriter.rewrite(schema, where, 0)
    rewriter.rewrite_definitions()
    if "$ref" in root:
        root = {"anyOf": [root]}  # beside a reference the converter looks at nothing
    try:
        grammar = _Converter.grammar_of({**root, "$defs": rewriter.definitions})
    # What the converter raises of its own accord for a pattern or a reference that it cannot use.
    except (AssertionError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(Reason.BAD_INPUT, f"{where} cannot be made into a grammar: {error}") from error
    for loose, exact in _EXACTLY.items():
        grammar = grammar.replace(loose, exact)
    return number_grammar.insert(grammar, rewriter.numbers)


class _Converter(SchemaConverter):
    """llama-cpp-python's, which passes backslashes of JSON and halves of surrogate pairs on as the grammar's own."""

    @classmethod
    def grammar_of(cls, schema: dict[str, Any]) -> str:
        converter = cls(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
        converter.visit(converter.resolve_refs(schema, "schema"), "")
        return converter.format_grammar()

    def _format_literal(self, literal: str) -> str:
        """JSON as a literal of the grammar."""
        return json.dumps(json.dumps(json.loads(literal), ensure_ascii=False), ensure_ascii=False)


@dataclass(slots=True)
class _Rewriter:
    """Checks a schema and writes it anew with what the converter understands; `definitions` are those referred to."""

    whole: Any
    strict: bool
    definitions: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)  # by the constants that stand for them, see number_grammar
    _names: dict[str, str] = field(default_factory=dict)  # by reference
    _nodes: int = 0

    def rewrite(self, schema: Any, where: str, depth: int) -> dict[str, Any]:
        """One schema. Raises InputError."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise InputError(
                Reason.TOO_LARGE, f"{where}: a schema is at most {MAX_DEPTH} deep and has at most {MAX_NODES} parts"
            )
        if schema is True:
            schema = {}
        if not isinstance(schema, dict):
            raise InputError(Reason.BAD_INPUT, f"{where} is no schema: {json.dumps(schema)[:60]}")
        self._check_keywords(schema, where)
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._defined(schema['$ref'], where)}"}
        if "const" in schema or "enum" in schema:
            return {"enum": [schema["const"]] if "const" in schema else _list(schema, "enum", where)}
        if "allOf" in schema:
            return self._all_of(schema, where, depth)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return {"anyOf": [self.rewrite(*one, depth + 1) for one in _each(schema, key, where)]}
        kind = schema.get("type")
        if not isinstance(kind, list) or not kind:
            return self._typed(schema, kind, where, depth)
        return {"anyOf": [self.rewrite({**schema, "type": one}, where, depth + 1) for one in kind]}

    def rewrite_definitions(self) -> None:
        """Writes what `$ref` names, and what that refers to."""
        while waiting := [reference for reference, name in self._names.items() if name not in self.definitions]:
            for reference in waiting:
                name = self._names[reference]
                self.definitions[name] = self.rewrite(_looked_up(self.whole, reference), reference, 0)

    def _check_keywords(self, schema: dict[str, Any], where: str) -> None:
        for keyword in schema:
            if keyword in _READ or keyword in _NOTES:
                continue
            if self.strict:
                raise InputError(Reason.BAD_INPUT, f"{where}.{keyword}: this keyword cannot be enforced; leave it out")

    def _typed(self, schema: dict[str, Any], kind: Any, where: str, depth: int) -> dict[str, Any]:
        if kind is None and ("properties" in schema or "additionalProperties" in schema):
            kind = "object"
        if kind is None and ("items" in schema or "prefixItems" in schema):
            kind = "array"
        if kind is None and ("pattern" in schema or "format" in schema):
            kind = "string"
        if kind is None:
            return {"type": "value"}  # the converter's word for any JSON
        if not isinstance(kind, str) or kind not in _TYPES:
            raise InputError(Reason.BAD_INPUT, f"{where}.type: {json.dumps(kind)[:40]} is no type of JSON")
        match kind:
            case "object":
                return self._object(schema, where, depth)
            case "array":
                return self._array(schema, where, depth)
            case "string":
                return self._string(schema, where)
            case "integer" | "number":
                return self._number(schema, kind, where)
        return {"type": kind}

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        if not isinstance(properties, dict) or "" in properties:
            raise InputError(Reason.BAD_INPUT, f"{where}.properties is no object of named schemas")
        out: dict[str, Any] = {
            "type": "object",
            "properties": {
                name: self.rewrite(one, f"{where}.properties.{name}", depth + 1) for name, one in properties.items()
            },
            "required": [name for name in _list(schema, "required", where) if name in properties],
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            out["additionalProperties"] = self.rewrite(more, f"{where}.additionalProperties", depth + 1)
        elif not properties and more is not False:
            return dict(ANY_OBJECT)
        else:
            out["additionalProperties"] = False
        return out

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        tuple_ = "items" if isinstance(schema.get("items"), list) else "prefixItems"  # as before draft 2020-12
        if tuple_ in schema:
            parts = _each(schema, tuple_, where)
            return {"type": "array", "prefixItems": [self.rewrite(*one, depth + 1) for one in parts]}
        items = self.rewrite(schema.get("items", True), f"{where}.items", depth + 1)
        return {"type": "array", "items": items, **self._repeats(schema, "Items", where)}

    def _string(self, schema: dict[str, Any], where: str) -> dict[str, Any]:
        if "pattern" in schema:
            try:
                return {"type": "string", "pattern": pattern_grammar.converted(schema["pattern"])}
            except InputError as error:
                if self.strict:
                    raise InputError(error.reason, f"{where}.pattern: {error}") from error
        if schema.get("format") in _FORMATS:
            return {"type": "string", "format": schema["format"]}
        if "format" in schema and self.strict:
            raise InputError(
                Reason.BAD_INPUT,
                f"{where}.format: {json.dumps(schema['format'])[:40]} cannot be enforced; leave it out",
            )
        return {"type": "string", **self._repeats(schema, "Length", where)}

    def _number(self, schema: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
        if not any(key in schema for key in _BOUNDS):
            return {"type": kind}
        try:
            rule = number_grammar.rule(number_grammar.bounds(schema, kind), kind)
        except InputError as error:
            if self.strict:
                raise InputError(error.reason, f"{where}: {error}") from error
            return {"type": kind}
        constant = number_grammar.placeholder(len(self.numbers))
        self.numbers[constant] = rule
        return {"const": constant}

    def _repeats(self, schema: dict[str, Any], of: str, where: str) -> dict[str, int]:
        out = {}
        for bound in ("min", "max"):
            value = schema.get(bound + of)
            if value is None:
                continue
            if not isinstance(value, int) or value < 0:
                raise InputError(Reason.BAD_INPUT, f"{where}.{bound + of} is no number from 0")
            if value <= MAX_REPEATS:
                out[bound + of] = value
            elif bound == "min":
                raise InputError(Reason.TOO_LARGE, f"{where}.min{of}: at most {MAX_REPEATS}")
        if out.get("max" + of, MAX_REPEATS) < out.get("min" + of, 0):
            raise InputError(Reason.BAD_INPUT, f"{where}.max{of} is under min{of}")
        return out

    def _all_of(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        """All parts as one schema: their properties together, or what the only part says."""
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("allOf", *_NOTES)}
        for part, place in _each(schema, "allOf", where):
            while isinstance(part, dict) and "$ref" in part:
                part = _looked_up(self.whole, part["$ref"])  # noqa: PLW2901
                self._nodes += 1
                if self._nodes > MAX_NODES:
                    raise InputError(Reason.TOO_LARGE, f"{place}: it refers to itself")
            if not isinstance(part, dict):
                raise InputError(Reason.BAD_INPUT, f"{place} is no schema")
            for key, value in part.items():
                if key == "properties" and isinstance(value, dict):
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required" and isinstance(value, list):
                    merged[key] = [*merged.get(key, []), *value]
                elif key not in _NOTES:
                    merged[key] = value
        return self.rewrite(merged, where, depth + 1)

    def _defined(self, reference: Any, where: str) -> str:
        """The name of the definition that `reference` (as `#/$defs/X`) becomes."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise InputError(
                Reason.BAD_INPUT, f"{where}.$ref: only references within the schema are followed (#/$defs/...)"
            )
        _looked_up(self.whole, reference)
        return self._names.setdefault(reference, f"Definition-{len(self._names)}")


def _looked_up(whole: Any, reference: Any) -> Any:
    found = whole
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise InputError(
            Reason.BAD_INPUT, f"$ref: only references within the schema are followed, not {reference!r:.60}"
        )
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            raise InputError(Reason.BAD_INPUT, f"$ref {reference[:60]}: there is no {key[:40]!r}")
        found = found[key]
    return found


def _list(schema: dict[str, Any], key: str, where: str) -> list[Any]:
    value = schema.get(key) or []
    if not isinstance(value, list) or (key == "enum" and not 0 < len(value) <= MAX_NODES):
        raise InputError(Reason.BAD_INPUT, f"{where}.{key} is no list of 1 to {MAX_NODES} values")
    return value


def _each(schema: dict[str, Any], key: str, where: str) -> list[tuple[Any, str]]:
    """The schemas in a list, each with its place."""
    value = schema[key]
    if not isinstance(value, list) or not value:
        raise InputError(Reason.BAD_INPUT, f"{where}.{key} is no list of schemas")
    return [(one, f"{where}.{key}[{i}]") for i, one in enumerate(value)]

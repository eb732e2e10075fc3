"""The form that a request asks an answer to have, as a grammar."""

from __future__ import annotations

from glasses.backbone import call_grammar, json_schema
from glasses.backbone.grammar import Grammar
from glasses.backbone.vocabulary import Vocabulary
from glasses.service.protocol.generation_params import CallAnswer, Function, JsonAnswer


def gbnf_of(form: JsonAnswer | CallAnswer, where: str = "form") -> str:
    """The grammar of a form; errors name places in `where`. Raises InputError as `json_schema.gbnf`."""
    if isinstance(form, JsonAnswer):
        return json_schema.gbnf(form.schema, strict=form.strict, where=where)
    functions = functions_of(form.functions)
    return call_grammar.grammar(functions, required=form.required, parallel=form.parallel, where=where)


def functions_of(functions: list[Function]) -> list[call_grammar.Function]:
    """Functions of a request as the backbone's."""
    return [call_grammar.Function(one.name, one.description, one.parameters, one.strict) for one in functions]


def check(form: JsonAnswer | CallAnswer, vocabulary: Vocabulary, where: str = "form") -> None:
    """Makes the grammar and forgets it. Raises InputError where it cannot be made."""
    Grammar(vocabulary, gbnf_of(form, where))

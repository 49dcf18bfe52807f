"""Criteria of step verification for candidates that answer (paper, section 3.3)."""

from __future__ import annotations

from sport.evals.answers import as_number
from sport.verify.evidence import Finding, key
from sport.verify.looking import NOTHING, Remark, share, worth
from sport.verify.provenance import Origin
from sport.verify.view import View, numbers_in_all
from sport.verify.words import content, is_function_word, stems


def answers_from_evidence(view: View) -> Remark:
    """Nothing invented: the answer is computed from what tools returned."""
    origin = view.answer
    if origin is None:
        return NOTHING
    if view.value is None or view.value in ("", [], {}):
        return -8.0, "gives an empty answer"
    shown = view.past.derived | numbers_in_all((*view.past.findings, *view.findings))
    invented = sorted(_written(origin) - view.question.numbers - shown - _harmless(origin))
    if invented:
        return -8.0, f"invents {invented[0]:g}, which no tool returned"
    if origin.calls:
        return 6.0, "computes the answer from what the tools returned"
    if isinstance(view.value, str) and as_number(view.value) is None:
        return _quotes(view, view.value)
    if _written(origin) & shown:
        return 4.0, "copies numbers that were observed"
    return -6.0, "rests the answer on nothing that was observed"


def _written(origin: Origin) -> frozenset[float]:
    """The numbers that the model wrote into the answer by hand."""
    if origin.calls or origin.numbers:
        return origin.numbers
    found = (as_number(s) for s in origin.strings)
    return frozenset(key(n) for n in found if n is not None)


def _harmless(origin: Origin) -> frozenset[float]:
    """Numbers that belong to an operation: a start at 0, counting by 1, halves, per cent."""
    if not origin.calls:
        return frozenset()
    ones = {1.0} if "sum" in origin.operations else set()
    halves = {2.0} if "Div" in origin.operations else set()
    return frozenset({0.0, 100.0} | ones | halves)


def _relays(view: View, origin: Origin) -> bool:
    """Whether it passes on what an earlier step computed, which was judged at that step."""
    computed = view.past.derived - numbers_in_all(view.past.findings)
    return not origin.calls and bool(_written(origin) & computed)


def _quotes(view: View, answer: str) -> Remark:
    said, seen = content(answer), frozenset().union(*(f.words for f in view.evidence))
    if said and said <= seen | view.question.words and said & seen:
        return 4.0, "answers in words that were observed"
    if share(said, seen | view.question.words) >= 0.5 and view.evidence:
        return 1.0, "answers partly in words that were observed"
    return -6.0, "answers what no tool returned"


def is_not_premature(view: View) -> Remark:
    """Progress: the answer does not come before what it needs has been observed."""
    if not view.answers:
        return NOTHING
    seen = frozenset().union(*(f.files for f in view.evidence))
    unseen = [name for name in view.past.files if name not in seen]
    if unseen and not seen:
        return -6.0, f"answers before {unseen[0]} was looked at"
    if view.question.asks_amount and not numbers_in_all(view.evidence):
        return -6.0, "answers before any number was observed"
    words = frozenset().union(*(f.words for f in view.evidence))
    unknown = sorted(view.question.names - words)
    if unknown:
        return -5.0, f"answers before {' '.join(unknown)!r} was looked up"
    if view.question.asks_price and not _price_seen(view):
        return -5.0, "answers before a price was observed"
    return NOTHING


def _price_seen(view: View) -> bool:
    texts = [f for f in view.evidence if f.text]
    if view.question.names:  # what is observed may be a count: a price has decimals or says so
        return any(n % 1 for f in texts for n in f.numbers) or any(_says_price(f) for f in texts)
    return any(f.numbers for f in view.evidence)


def _says_price(found: Finding) -> bool:
    return any(word in stems(found.text) for word in ("price", "cost", "dollar", "euro"))


def covers_question(view: View) -> Remark:
    """Progress: what the query names has been looked for."""
    if not view.answers:
        return NOTHING
    seen = frozenset().union(*(f.words | content(f.wording) for f in view.evidence))
    searched = frozenset().union(*(content(s) for s in view.searched_for))
    missing = sorted(view.question.words - seen - searched)
    if not missing:
        return NOTHING
    return -1.5 * min(3, len(missing)), f"has not looked for {missing[0]!r}"


def uses_findings(view: View) -> Remark:
    """Coherent with what came before: what was found on the way enters the answer."""
    origin = view.answer
    if origin is None or _relays(view, origin):
        return NOTHING
    written = _written(origin)
    fed = {f.signature for f in view.past.findings if _feeds(origin, written, f)}
    for found in view.past.findings:
        useful = not found.empty and found.numbers and worth(view, found) >= 2
        if useful and found.signature not in fed:
            return -4.0, f"leaves out what {found.tool} found"
    empty = {(f.step, f.tool) for f in (*view.past.findings, *view.findings) if f.empty}
    if origin.calls & empty:
        return -4.0, "rests on a result that is empty"
    return NOTHING


def _feeds(origin: Origin, written: frozenset[float], found: Finding) -> bool:
    return (found.step, found.tool) in origin.calls or bool(written & found.numbers)


def gives_amount(view: View) -> Remark:
    """The answer is of the kind that is asked for: one number, where an amount is asked."""
    if not view.answers or not view.question.asks_amount:
        return NOTHING
    number = as_number(view.value)
    if number is None:
        return -8.0, "does not answer with one number"
    if view.answer is not None and "characters" in view.answer.operations:
        return -8.0, "counts the characters of a text"
    if number < 0:
        return -6.0, "gives a negative amount"
    return NOTHING


def combines_as_asked(view: View) -> Remark:
    """Coherent with the query: its numbers enter, and the operation that its words imply."""
    origin, question = view.answer, view.question
    if origin is None or _relays(view, origin):
        return NOTHING
    if question.operations and not question.operations & origin.operations:
        return -6.0, "does not combine the values as the query asks"
    counted = sorted(question.quantities & origin.added)
    if question.asks_price and counted and "Mult" not in origin.operations:
        return -6.0, f"adds the quantity {counted[0]:g} to a price"
    unused = sorted(n for n in question.numbers - origin.numbers if n != 1)
    if question.asks_amount and question.asks_price and unused:
        return -6.0, f"does not use the {unused[0]:g} of the query"
    return NOTHING


def picks_right_rows(view: View) -> Remark:
    """The best argument: takes the rows out of a text that the query names, and all of them."""
    origin = view.answer
    if origin is None or _relays(view, origin):
        return NOTHING
    searched = frozenset().union(*(content(s) for s in view.searched_for))
    shown = frozenset().union(*(content(f.text) for f in view.evidence))
    foreign = sorted((searched & shown) - view.question.words)
    rows = [r for f in view.evidence for r in f.rows if _named(view.question.tokens, r[0])]
    if foreign:
        weight = -7.0 if rows else -1.0  # a query may name things by other words than a picture
        return weight, f"takes the figure of {foreign[0]!r}, which is not asked for"
    written = _written(origin)
    for name, numbers in rows:
        if not frozenset(name) & searched and not written & numbers:
            return -4.0 if searched else -1.5, f"does not use the row {' '.join(name)!r}"
    return NOTHING


def _named(tokens: tuple[str, ...], name: tuple[str, ...]) -> bool:
    """Whether a query names a row: the row's whole name occurs in it, in order."""
    if all(is_function_word(w) for w in name):
        return False
    return any(tokens[i : i + len(name)] == name for i in range(len(tokens) - len(name) + 1))


def looks_before_answering(view: View) -> Remark:
    """Progress in steps: an answer drawn from a result that was never seen is a gamble."""
    if view.answers and view.findings:
        return -1.0, "answers without having seen the result"
    return NOTHING

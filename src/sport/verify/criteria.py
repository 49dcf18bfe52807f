"""The criteria of step verification (paper, section 3.3), one function each.

A criterion looks at one candidate and returns what it changes in the score and a phrase that says
why; ``(0, "")`` where it has nothing to say. None of them knows a gold answer, a plan, or a kind
of task: they follow the wording of the query, the tools' results, and the flow of data in code.
"""

from __future__ import annotations

from collections.abc import Callable

from sport.evals.answers import as_number
from sport.verify.evidence import Finding, key, signature
from sport.verify.provenance import Origin
from sport.verify.view import View, numbers_in_all, repeats_code
from sport.verify.words import content, is_function_word, stems

Remark = tuple[float, str]
Criterion = Callable[[View], Remark]

NOTHING: Remark = (0.0, "")
_NAME_WORDS = 3  # an argument of more content words is a question, not the name of a thing


# Every candidate.


def shows_no_repetition(view: View) -> Remark:
    """New information: the same call again, or the same code again, tells nothing new."""
    calls = [signature(c) for c in view.outcome.tool_calls]
    if calls and all(c in view.past.calls for c in calls) and not view.answers:
        return -6.0, "repeats an earlier call"
    if repeats_code(view):
        return -6.0, "repeats an earlier step"
    known = {f.text for f in view.past.findings if f.text}
    if view.findings and not view.answers and all(f.text in known for f in view.findings):
        return -3.0, "finds only what was known"
    return NOTHING


def calls_succeed(view: View) -> Remark:
    """No errors: a tool that failed, even where the code caught it."""
    failed = [c for c in view.outcome.tool_calls if c.error is not None]
    return (-2.0 * min(2, len(failed)), f"{failed[0].name} failed") if failed else NOTHING


# Candidates that look for something.


def brings_information(view: View) -> Remark:
    """New information: what did the tools return?"""
    if view.answers or not view.outcome.tool_calls:
        return NOTHING
    if not view.findings or all(f.empty for f in view.findings):
        return -3.0, "finds nothing"
    worth, found = max((_worth(view, f), f.tool) for f in view.findings if not f.empty)
    if worth >= 3:
        return worth, f"{found} finds what is asked about"
    if worth >= 1:
        return worth, f"{found} finds something new"
    return worth, f"{found} says nothing that can be counted or computed with"


def _worth(view: View, found: Finding) -> float:
    if view.question.asks_amount and not found.numbers:
        return 0.5
    share = _share(view.question.words, found.words)
    if found.files or not view.question.words:
        # A picture rarely holds all that is asked: one word of it is a good beginning.
        return 3.5 if share or not view.question.words else 1.0
    return 1 + 3 * share


def _share(wanted: frozenset[str], given: frozenset[str]) -> float:
    return len(wanted & given) / len(wanted) if wanted else 1.0


def shows_result(view: View) -> Remark:
    """New information must be seen: a result that is not printed is not observed."""
    silent = not view.outcome.stdout.strip() and view.outcome.value is None
    if view.findings and silent and not view.answers:
        return -1.0, "does not show what it found"
    return NOTHING


def uses_right_source(view: View) -> Remark:
    """The right tool: files that come with the query are looked at before anything else."""
    unread = _unread(view)
    if view.answers or not unread or not view.findings or any(f.files for f in view.findings):
        return NOTHING
    if view.question.names:
        return -1.0, f"has not looked at {unread[0]} yet"
    return -4.0, f"looks elsewhere than in {unread[0]}, which the query is about"


def _unread(view: View) -> list[str]:
    read = frozenset().union(*(f.files for f in view.past.findings if not f.empty))
    return [name for name in view.past.files if name not in read]


def asks_precisely(view: View) -> Remark:
    """The best argument: names what the query names, as precisely, and nothing else."""
    remarks = [_wording(view, f) for f in view.findings if f.wording]
    return min(remarks, default=NOTHING)


def _wording(view: View, found: Finding) -> Remark:
    asked = content(found.wording)
    known = frozenset().union(*(f.words for f in view.past.findings))
    foreign = sorted(asked - view.question.words - known)
    if not found.files:
        return _lookup(view, asked, foreign, bool(asked & known - view.question.words))
    if foreign and len(asked) <= _NAME_WORDS and "?" not in found.wording:
        return -2.5, f"asks about {foreign[0]!r}, which nobody named"
    dropped = _dropped_qualifier(view.question.tokens, asked)
    if dropped and not foreign:
        return -2.5, f"asks less precisely than the query: without {dropped!r}"
    return NOTHING


def _lookup(view: View, asked: frozenset[str], foreign: list[str], follows: bool) -> Remark:
    names, words = view.question.names, view.question.words
    if names and not names <= asked and not follows:
        return -2.5, f"does not ask about {' '.join(sorted(names - asked))!r}"
    if foreign and not follows and words - names and not (words - names) & asked:
        return -2.5, f"asks about {foreign[0]!r}, which nobody named"
    return (-1.0, f"brings in {foreign[0]!r}") if foreign else NOTHING


def _dropped_qualifier(tokens: tuple[str, ...], asked: frozenset[str]) -> str:
    """The word that qualifies, wherever the query names it, what the argument asks about."""
    before: dict[str, set[str]] = {}
    for qualifier, word in zip(("", *tokens), tokens, strict=False):
        before.setdefault(word, set()).add("" if is_function_word(qualifier) else qualifier)
    for word in sorted(asked & before.keys()):
        if "" not in before[word] and not before[word] & asked:
            return min(before[word])
    return ""


def does_something(view: View) -> Remark:
    """Progress: a step calls a tool, computes something that it shows, or answers."""
    if view.answers or view.outcome.tool_calls:
        return NOTHING
    if view.outcome.stdout.strip() or view.outcome.value is not None:
        return 0.5, "only computes"
    return -3.0, "does nothing"


# Candidates that answer.


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
    return -6.0, "the answer rests on nothing that was observed"


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
    if _share(said, seen | view.question.words) >= 0.5 and view.evidence:
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
        useful = not found.empty and found.numbers and _worth(view, found) >= 2
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


CRITERIA: tuple[Criterion, ...] = (
    shows_no_repetition,
    calls_succeed,
    brings_information,
    shows_result,
    uses_right_source,
    asks_precisely,
    does_something,
    answers_from_evidence,
    is_not_premature,
    covers_question,
    uses_findings,
    gives_amount,
    combines_as_asked,
    picks_right_rows,
    looks_before_answering,
)
"""All criteria; a candidate's score is the sum of what they say."""

"""Criteria of step verification for candidates that look for something (paper, section 3.3).

A criterion looks at one candidate and returns what it changes in the score and a phrase that says
why; :data:`NOTHING` where it has nothing to say.
"""

from __future__ import annotations

from sport.types import ToolCall
from sport.verify.evidence import Finding, signature
from sport.verify.view import View, computed, numbers_in_all, repeats_code
from sport.verify.words import content, is_function_word

Remark = tuple[float, str]

NOTHING: Remark = (0.0, "")
_NAME_WORDS = 3  # an argument of more content words is a question, not the name of a thing


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
    return (
        (-2.0 * min(2, len(failed)), f"calls {failed[0].name}, which fails") if failed else NOTHING
    )


def brings_information(view: View) -> Remark:
    """New information: what did the tools return?"""
    if view.answers or not view.outcome.tool_calls:
        return NOTHING
    if not view.findings or all(f.empty for f in view.findings):
        return -3.0, "finds nothing"
    best, found = max((worth(view, f), f.tool) for f in view.findings if not f.empty)
    if best >= 3:
        return best, f"finds what is asked about, with {found}"
    if best >= 1:
        return best, f"finds something new, with {found}"
    # A vague look is better than a guess, unless there is something better to go on with.
    known = any(worth(view, f) >= 1 for f in view.past.findings if not f.empty)
    lost = -0.5 if known else best
    return lost, f"learns from {found} nothing that can be counted or computed with"


def worth(view: View, found: Finding) -> float:
    """What a result that is not empty is worth to the query, from 0.5 to 4."""
    if view.question.asks_amount and not found.numbers:
        return 0.5
    known = share(view.question.words, found.words)
    if found.files or not view.question.words:
        # A picture rarely holds all that is asked: one word of it is a good beginning.
        return 3.5 if known or not view.question.words else 1.0
    return 1 + 3 * known


def share(wanted: frozenset[str], given: frozenset[str]) -> float:
    """Share of the wanted words that are given."""
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
        return -3.5, f"asks about {foreign[0]!r}, which nobody named"
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
    """Progress: a step calls a tool, computes something that it shows, or answers.

    A call with side effects is judged before it is made: by whether the query speaks of it.
    """
    if view.outcome.waits is not None:
        return _is_about_to(view, view.outcome.waits)
    if view.answers or view.outcome.tool_calls:
        return NOTHING
    if computed(view.code, view.outcome) - view.past.derived - numbers_in_all(view.past.findings):
        return 1.5, "computes something new"
    if view.outcome.stdout.strip() or view.outcome.value is not None:
        return -0.5, "only shows what was known"
    return -3.0, "does nothing"


def _is_about_to(view: View, call: ToolCall) -> Remark:
    if signature(call) in view.past.calls:
        return -6.0, f"is about to call {call.name} again"
    said = [v for v in call.arguments.values() if isinstance(v, str)]
    asked = content(" ".join([call.name.replace("_", " "), *said]))
    return 0.5 + 2 * share(view.question.words, asked), f"is about to call {call.name}"

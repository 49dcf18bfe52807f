"""The criteria of step verification (paper, section 3.3), one function each.

None of them knows a gold answer, a plan, or a kind of task: they follow the wording of the query,
the tools' results, and the flow of data in code.
"""

from __future__ import annotations

from collections.abc import Callable

from sport.verify import answering, looking
from sport.verify.looking import Remark
from sport.verify.view import View

Criterion = Callable[[View], Remark]

CRITERIA: tuple[Criterion, ...] = (
    looking.shows_no_repetition,
    looking.calls_succeed,
    looking.brings_information,
    looking.shows_result,
    looking.uses_right_source,
    looking.asks_precisely,
    looking.does_something,
    answering.answers_from_evidence,
    answering.is_not_premature,
    answering.covers_question,
    answering.uses_findings,
    answering.gives_amount,
    answering.combines_as_asked,
    answering.picks_right_rows,
    answering.looks_before_answering,
)
"""All criteria; a candidate's score is the sum of what they say."""

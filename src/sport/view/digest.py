"""Counts of a round that can be added up, so that a growing run is never counted twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sport.evals.funnel import Funnel, count
from sport.evals.verdicts import Place, VerdictStats, verdict_stats
from sport.tune.config import PairConfig
from sport.types import Gold, Trajectory
from sport.verify.relabel import Agreement, Temptation, VerifierReport, verifier_accuracy


@dataclass
class Digest:
    """What some trajectories of one round add up to.

    Attributes:
        funnel: What became of what was sampled.
        verdicts: How the verifier chose.
        agreement: How its verdicts agree with the oracle, where there is gold.
        tools: How often chosen candidates called each tool.
    """

    funnel: Funnel = field(default_factory=Funnel)
    verdicts: VerdictStats = field(default_factory=VerdictStats)
    agreement: VerifierReport = field(
        default_factory=lambda: VerifierReport(
            overall=Agreement(), by_kind={}, by_error={}, skipped=0
        )
    )
    tools: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, trajectories: Sequence[Trajectory], pairs: PairConfig, golds: Mapping[str, Gold]
    ) -> Self:
        """Counts trajectories.

        Args:
            trajectories: Of one round.
            pairs: Which pairs the run keeps.
            golds: The gold by task id, where there is any.
        """
        return cls(
            count(trajectories, pairs),
            verdict_stats(trajectories),
            verifier_accuracy(trajectories, golds),
            Counter(tool for t in trajectories for tool in t.tools),
        )

    def add(self, other: Digest) -> None:
        """Adds other trajectories of the round to these."""
        _add(self.funnel, other.funnel)
        _add_verdicts(self.verdicts, other.verdicts)
        self.agreement = _sum(self.agreement, other.agreement)
        self.tools.update(other.tools)

    def as_json(self) -> dict[str, Any]:
        """A JSON value that :meth:`from_json` reads."""
        funnel = {**vars(self.funnel), "tier": sorted(self.funnel.tier)}
        verdicts = {**vars(self.verdicts), "places": [vars(p) for p in self.verdicts.places]}
        return {
            "funnel": funnel,
            "verdicts": verdicts,
            "agreement": self.agreement.model_dump(),
            "tools": self.tools,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What :meth:`as_json` gave."""
        funnel, verdicts = value["funnel"], value["verdicts"]
        counters = {k: Counter(v) for k, v in funnel.items() if isinstance(v, dict)}
        places = [Place(**p) for p in verdicts["places"]]
        return cls(
            Funnel(**{**funnel, **counters, "tier": set(funnel["tier"])}),
            VerdictStats(**{**verdicts, "places": places}),
            VerifierReport.model_validate(value["agreement"]),
            Counter(value["tools"]),
        )


def _add(mine: Funnel, other: Funnel) -> None:
    for name, value in vars(other).items():
        held = getattr(mine, name)
        if isinstance(value, int):
            setattr(mine, name, held + value)
        else:
            held.update(value)


def _add_verdicts(mine: VerdictStats, other: VerdictStats) -> None:
    mine.pairs += other.pairs
    mine.agreeing += other.agreeing
    mine.asked_again += other.asked_again
    for i, place in enumerate(other.places):
        if i == len(mine.places):
            mine.places.append(Place())
        held = mine.places[i]
        held.shown += place.shown
        held.won += place.won
        held.by_lot += place.by_lot


def _sum(a: VerifierReport, b: VerifierReport) -> VerifierReport:
    kinds = sorted(a.by_kind.keys() | b.by_kind.keys())
    none = Agreement()
    return VerifierReport(
        overall=_both(a.overall, b.overall),
        by_kind={k: _both(a.by_kind.get(k, none), b.by_kind.get(k, none)) for k in kinds},
        by_error={
            error: Temptation(
                met=sum(r.by_error[error].met for r in (a, b) if error in r.by_error),
                named=sum(r.by_error[error].named for r in (a, b) if error in r.by_error),
            )
            for error in sorted(a.by_error.keys() | b.by_error.keys())
        },
        skipped=a.skipped + b.skipped,
    )


def _both(a: Agreement, b: Agreement) -> Agreement:
    return Agreement(**{k: getattr(a, k) + getattr(b, k) for k in Agreement.model_fields})

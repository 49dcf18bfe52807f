"""Verifiers: which of a step's candidates is the best (paper, section 3.3)."""

from sport.verify.base import VerdictError, Verifier
from sport.verify.controls import DegradedOracle, OracleVerifier, RandomVerifier
from sport.verify.honest import HonestVerifier
from sport.verify.rubric import RubricVerifier

__all__ = [
    "DegradedOracle",
    "HonestVerifier",
    "OracleVerifier",
    "RandomVerifier",
    "RubricVerifier",
    "VerdictError",
    "Verifier",
]

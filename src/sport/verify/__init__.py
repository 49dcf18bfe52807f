"""Verifiers: what names the best candidate of a step."""

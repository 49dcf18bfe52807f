"""Synthesizers: what makes tasks."""

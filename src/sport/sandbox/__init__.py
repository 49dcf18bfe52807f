"""Worlds for untrusted code that fork, one a candidate."""

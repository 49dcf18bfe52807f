"""Searching and reading the web, guarded."""

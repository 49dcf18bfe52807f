"""SPORT: make a vision-language model better at using your tools, with no labels."""

__version__ = "0.1.0"

"""The agents that a controller can be put into: how it acts, apart from what it knows."""

"""Tuners: what turns trajectories into an adapter."""

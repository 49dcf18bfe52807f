"""Tuning: from trajectories to an adapter."""

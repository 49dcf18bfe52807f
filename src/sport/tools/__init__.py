"""Tools that candidates call."""

"""The embedded world: its problems, pictures, tools' ground truth and controller."""

"""Controllers: what they read, how they are sampled, and how their actions are read."""

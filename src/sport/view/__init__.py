"""What people look at: a run's pages, live or saved, and its report."""

"""GTA (arXiv 2407.08713): its data, its recorded tools, its metrics."""

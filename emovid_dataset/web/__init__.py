"""Pages that people are served, and what keeps others out of them."""

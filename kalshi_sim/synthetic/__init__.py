"""Generated sessions: what they are made of, and the truth about them."""

"""Orders at an exchange: the demo environment and local exchanges, and no other place."""

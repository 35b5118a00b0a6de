"""What tests and benchmarks share: a real PostgreSQL server, and a writer of kalshiflow tables."""

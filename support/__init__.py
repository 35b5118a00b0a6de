"""What tests and benchmarks share: real servers, writers of tables, captures of known truth."""

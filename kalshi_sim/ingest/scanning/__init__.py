"""Columns from the bytes of frames that are as usual, in a compiled kernel."""

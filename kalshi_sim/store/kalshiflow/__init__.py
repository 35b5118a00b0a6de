"""Sessions of the kalshiflow recorder, read as they are."""

"""From stored sessions to the tapes of a run."""

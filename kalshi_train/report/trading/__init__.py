"""The page of a run of trading: served while it runs, and written whole beside its log."""

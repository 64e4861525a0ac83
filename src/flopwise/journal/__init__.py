"""The append-only journal: log, lock and replay."""

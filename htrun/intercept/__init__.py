"""Turns a guest's stores into records: the channel's mappings, traps, sites, signals and patches."""

"""Turns a guest's stores into records: channel mappings, traps, sites, signals, patches."""

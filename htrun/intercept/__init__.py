"""From a guest's store to a record: channel mappings, traps, sites, signals, patches."""

"""Reading traces: metadata, packets, events in order of time, and the analyses of them."""

"""Events: what they are called, how a batch of them lies in memory, who takes them, and when they happened."""

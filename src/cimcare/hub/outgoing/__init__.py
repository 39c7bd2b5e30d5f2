"""The way out: couriers, halts, dead letters, and what was exchanged with a destination."""

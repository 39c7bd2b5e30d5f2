"""The durable message hub: settings, the order of steps, start and stop, and the read side."""

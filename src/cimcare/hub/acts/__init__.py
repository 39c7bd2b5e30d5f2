"""What happens without a message: ticks, calls, notices, meter tables, the directory and the network."""

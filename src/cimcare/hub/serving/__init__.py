"""Processes and connections: start, drain, stop, and several workers behind one address."""

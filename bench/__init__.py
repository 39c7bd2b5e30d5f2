"""Measurements: one command a figure, each beside a floor or a peer in one run."""

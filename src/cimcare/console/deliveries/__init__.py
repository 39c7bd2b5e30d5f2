"""Deliveries, dead letters and partners."""

"""Tickets: calls that are taken, what became of them, and whom people have to call back."""

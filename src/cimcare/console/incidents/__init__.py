"""Outages: the board that is kept live, one incident with all that is known of it and what can be said, and the map."""

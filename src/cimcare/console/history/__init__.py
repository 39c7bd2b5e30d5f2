"""How it stood at any instant of the past."""

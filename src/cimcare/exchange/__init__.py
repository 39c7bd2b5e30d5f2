"""Exchange patterns as decisions without I/O, and the ports through which they reach the world."""

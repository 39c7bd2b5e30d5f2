"""Configuration: partners, subscriptions and rules as text, and who did what."""

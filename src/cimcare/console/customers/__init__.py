"""Customers, with personal data masked until somebody asks for it, which is noted."""

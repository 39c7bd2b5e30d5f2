"""Typed values of the standards: nouns, envelope, verbs, identity. Frozen; no I/O, no clock, no XML."""

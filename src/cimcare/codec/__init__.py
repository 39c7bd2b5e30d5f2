"""Bytes <-> model values: XML of nouns and envelope, SOAP, JSON. Pure: no socket, clock or log."""

"""The REST interface: pages, their description in OpenAPI, the feed of events, and the read side."""

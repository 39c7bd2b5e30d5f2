"""Messages: the list, one message, and the conversation it belongs to."""

"""The way of one message: let in, judged, served here or passed on, kept, answered, told of."""

"""Field work: the board of orders, the calendar of crews, and one order with what may be done about it."""

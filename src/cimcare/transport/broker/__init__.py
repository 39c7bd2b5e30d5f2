"""Message brokers: JMS over the protocols that JMS brokers speak, STOMP and AMQP."""

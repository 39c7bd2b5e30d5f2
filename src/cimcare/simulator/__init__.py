"""Simulated partners that face anybody's implementation over the wire, and play well or badly.

A partner listens (SOAP, strongly typed SOAP, plain XML and JSON), answers as its role does or as its behaviour has it,
tells of what has happened, and can send what a scenario says. It knows nothing of a hub but the messages.

Source: IEC 61968-100:2013 for messages and exchanges. Behaviours and scenarios are ours.
"""

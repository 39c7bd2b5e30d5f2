"""The web console: what an operator, an engineer and an auditor look at.

Pages below `/console`, made on the server, that work without scripts; scripts only keep them live.
"""

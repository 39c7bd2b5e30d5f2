"""The demonstration: who says what to whom in Figures 2, 4, 6, 8, 9 and 10 of IEC 61968-8, played against a hub.

It knows of the hub only what a client may know: its WSDLs and its read interface.
"""

"""Storms on demand: an open-loop load of a utility's worst hour, by profile and seed, against any conforming endpoint.

It knows of the other side only the wire. What is sent, and when, is drawn before anything is sent (`plan`, `wording`);
`sending` keeps to those instants whatever the answers do; `proof` asks afterwards what became of it.
"""

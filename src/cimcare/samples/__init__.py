"""Sample messages: valid, realistic, the same for the same seed, for every noun and verb.

Their world is Northlake, an invented town of 200 premises on two feeders. For tests, documents, the simulator and the
command `cimcare sample`.
"""

from cimcare.samples.build import build_message, build_payload, sample_mrid

__all__ = ["build_message", "build_payload", "sample_mrid"]

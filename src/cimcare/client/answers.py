"""What comes back from a peer: an answer, a fault, or nothing; under the names of the client."""

from cimcare.transport.answers import Body, read_body
from cimcare.transport.sending import Answer, FaultReceivedError, NoAnswerError, post, silence

__all__ = ["Answer", "Body", "FaultReceivedError", "NoAnswerError", "post", "read_body", "silence"]

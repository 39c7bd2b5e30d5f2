"""Typed client for any conforming peer: SOAP services by their WSDL, and plain messages over HTTP."""

from cimcare.client.answers import Answer, FaultReceivedError, NoAnswerError
from cimcare.client.peer import Peer
from cimcare.client.rest import RestClient, send_document
from cimcare.client.soap import SoapClient

__all__ = ["Answer", "FaultReceivedError", "NoAnswerError", "Peer", "RestClient", "SoapClient", "send_document"]

"""Typed client for any conforming peer: SOAP services by their WSDL, plain messages over HTTP, signed webhooks."""

from cimcare.client.answers import Answer, FaultReceivedError, NoAnswerError
from cimcare.client.peer import Peer
from cimcare.client.rest import RestClient, send_document
from cimcare.client.soap import SoapClient
from cimcare.transport.webhook import WebhookError, parse_secrets, sign_webhook, verify_webhook

__all__ = [
    "Answer",
    "FaultReceivedError",
    "NoAnswerError",
    "Peer",
    "RestClient",
    "SoapClient",
    "WebhookError",
    "parse_secrets",
    "send_document",
    "sign_webhook",
    "verify_webhook",
]

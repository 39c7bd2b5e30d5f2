"""The wire: SOAP, REST and plain HTTP as ASGI callables, each turning bytes into messages and answers into bytes."""

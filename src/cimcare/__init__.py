"""Customer care, metering and billing messages in the IEC CIM, spoken between the systems of a utility."""

__all__ = ["__version__"]

__version__ = "0.1.0"

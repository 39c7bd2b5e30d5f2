"""XSD and WSDL as data, and how to find, derive, apply and compare them."""

from cimcare.schema.catalog import Catalog, CompiledSchema, Document, SchemaFileError
from cimcare.schema.validate import check_element, check_message

__all__ = ["Catalog", "CompiledSchema", "Document", "SchemaFileError", "check_element", "check_message"]

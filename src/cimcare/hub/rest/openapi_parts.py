"""Parts of the OpenAPI description: pages, answers, problems and parameters."""

from cimcare.hub.rest.filters import Parameter

__all__ = ["Json", "json_answer", "page_of", "parameters", "path_parameter", "problem"]

Json = dict[str, object]


def page_of(item: object) -> Json:
    """A page of items."""
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next": {"type": ["string", "null"], "description": "Address of the next page."},
        },
    }


def problem(text: str) -> Json:
    """An answer with problem details."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": text, "content": content}


def json_answer(text: str, schema: object) -> Json:
    """An answer in JSON."""
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def parameters(table: dict[str, Parameter]) -> list[Json]:
    """The parameters of a query."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": one.text,
            "schema": {"type": "array", "items": one.schema} if one.repeats else one.schema,
        }
        for name, one in table.items()
    ]


def path_parameter(name: str, schema: Json, text: str) -> Json:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}

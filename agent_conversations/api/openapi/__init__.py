"""How actions become the OpenAPI schema, its examples and the forms of the browsable API."""

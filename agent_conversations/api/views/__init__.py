"""The routes' actions: parse the request into a type, call a repository once, respond."""

class EmbeddedServerError(Exception):
    """The bundled server cannot be started; the text says what to do."""

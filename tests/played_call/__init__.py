"""A call to play in the browser, with a server on this machine in ElevenLabs' place."""
